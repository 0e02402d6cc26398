"""Steps of the data pipeline."""

from .load_verified_image import LoadVerifiedImage

__all__ = ['LoadVerifiedImage']

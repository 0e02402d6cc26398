"""Steps of the data pipeline."""

from .loading import LoadVerifiedImage

__all__ = ['LoadVerifiedImage']

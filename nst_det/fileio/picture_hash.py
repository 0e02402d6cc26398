"""A hash of the picture that a data set has loaded, made where it is loaded: in a data worker."""

import hashlib
from typing import Any

from torch import Tensor

PICTURE_HASH = 'picture_hash'  # its name in the metainfo of a sample


def add_picture_hash(loaded: Any) -> None:
    """Note the hash of a picture in the metainfo of its sample.

    Args:
        loaded (Any): What a data pipeline returned; anything but a picture with its sample, such
            as several branches, is left as it is.
    """
    picture = loaded.get('inputs') if isinstance(loaded, dict) else None
    sample = loaded.get('data_samples') if isinstance(loaded, dict) else None
    if isinstance(picture, Tensor) and hasattr(sample, 'set_metainfo'):
        key = hashlib.sha256(f'{tuple(picture.shape)} {picture.dtype}'.encode())
        key.update(picture.contiguous().view(-1).numpy())
        sample.set_metainfo({PICTURE_HASH: key.hexdigest()})

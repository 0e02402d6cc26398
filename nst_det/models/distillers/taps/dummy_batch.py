"""A batch of noise, for finding out what a detector's layers give."""

import math
from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from nst_det.errors import UserError


def dummy_batch(detector: nn.Module, canvas: Sequence[int]) -> dict:
    """One image of noise as a detector's own preprocessor prepares it.

    Args:
        detector (nn.Module): The detector.
        canvas (Sequence[int]): The image's H and W.

    Returns:
        dict: ``inputs`` `(1, 3, H, W)` and ``data_samples`` for its ``forward``.

    Raises:
        UserError: Where it has no preprocessor that makes a batch.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, *canvas), generator=generator, dtype=torch.uint8)
    size = tuple(canvas)
    sample = DetDataSample(
        metainfo=dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    )
    batch = detector.data_preprocessor(dict(inputs=[image], data_samples=[sample]), False)
    if not isinstance(batch['inputs'], Tensor):
        raise UserError(
            f'the data_preprocessor of {type(detector).__name__} makes no batch of images: give '
            "its config a data_preprocessor=dict(type='DetDataPreprocessor', …)"
        )
    return batch


def padded_shape(shape: Sequence[int], *detectors: nn.Module) -> tuple[int, int]:
    """What an image is padded to, so that every one of some detectors can take it.

    Args:
        shape (Sequence[int]): The image's H and W.
        *detectors (nn.Module): The detectors.

    Returns:
        tuple[int, int]: H and W, rounded up to a multiple of all their padding divisors.
    """
    divisor = math.lcm(*(getattr(d.data_preprocessor, 'pad_size_divisor', 1) for d in detectors))
    height, width = (math.ceil(side / divisor) * divisor for side in shape)
    return height, width

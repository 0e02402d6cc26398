"""A dummy batch: one image of random pixels, to find out what the layers of a detector give."""

import math
from collections.abc import Sequence

import torch
from mmdet.models.backbones.csp_darknet import Focus
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from nst_det.errors import UserError


def dummy_batch(detector: nn.Module, image_shape: Sequence[int]) -> dict:
    """Make a batch of one image of random pixels with the detector's own preprocessor.

    The pixels are the same in every call.

    Args:
        detector (nn.Module): The detector.
        image_shape (Sequence[int]): H and W of the image in pixels.

    Returns:
        dict: ``inputs`` `(1, C, H, W)` and ``data_samples``, the arguments of the detector's
        ``forward``.

    Raises:
        UserError: If the detector has no preprocessor that makes a batch.
    """
    generator = torch.Generator().manual_seed(0)
    shape = image_channels(detector), *image_shape
    image = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    size = tuple(image_shape)
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


def padded_shape(image_shape: Sequence[int], *detectors: nn.Module) -> tuple[int, int]:
    """Round the shape of an image up so that no given detector has to pad it.

    Args:
        image_shape (Sequence[int]): H and W of the image in pixels.
        *detectors (nn.Module): The detectors.

    Returns:
        tuple[int, int]: H and W, rounded up to multiples of the padding divisors of all detectors.
    """
    divisor = math.lcm(
        *(getattr(detector.data_preprocessor, 'pad_size_divisor', 1) for detector in detectors)
    )
    height, width = (math.ceil(side / divisor) * divisor for side in image_shape)
    return height, width


def image_channels(detector: nn.Module) -> int:
    """Find out how many channels the images of a detector have.

    Args:
        detector (nn.Module): The detector.

    Returns:
        int: The number of its means, if it has several; else the input channels of the first
        convolution of its backbone; 3 if it has none.
    """
    means = getattr(detector.data_preprocessor, 'mean', None)
    if isinstance(means, Tensor) and means.numel() > 1:
        return means.numel()
    slices = 1
    for module in getattr(detector, 'backbone', detector).modules():
        if isinstance(module, Focus):  # its convolution sees four shifted copies of the image
            slices = 4
        elif isinstance(module, nn.Conv2d):
            return module.in_channels // slices
    return 3

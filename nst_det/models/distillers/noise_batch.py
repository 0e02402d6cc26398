"""A batch of noise, for finding out what a detector's layers give."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.tap import Tap, record


def noise(detector: nn.Module, canvas: Sequence[int]) -> dict:
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


@torch.no_grad()
def count_channels(detector: nn.Module, tap: Tap, role: str) -> int:
    """Find out how many channels a tapped map has, by running the detector on noise.

    Args:
        detector (nn.Module): The detector; it is left as it was.
        tap (Tap): The tap.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Returns:
        int: C of the map `(N, C, H, W)`.

    Raises:
        UserError: Where the layer does not exist, does not run, or gives no map.
    """
    training = {module: module.training for module in detector.modules()}
    batch = noise(detector.eval(), (128, 128))
    # Of several runs of one module the first will do, all give as many channels.
    with torch.random.fork_rng(), record(detector, [tap], role, stop_early=True) as tapped:
        detector(**batch, mode='tensor')
    for module, mode in training.items():
        module.training = mode
    return tap.as_map(tapped[0], batch['inputs'].shape, role).shape[1]

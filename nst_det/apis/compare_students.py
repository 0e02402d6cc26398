"""A distiller's student before and after, seen on some images."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.config import Config

from nst_det.apis.build import build_distiller, start_weights
from nst_det.fileio.state_dict import load_strictly
from nst_det.visualization.layer_view import LayerView, load_image, merge_views, view_layers


def compare_students(
    cfg: Config,
    checkpoint: str,
    before: str | None,
    images: Sequence[str],
    device: str = 'cpu',
) -> Iterator[list[LayerView]]:
    """Look at images through a distiller's layers, with its student before and after.

    Args:
        cfg (Config): The whole config, with an ``NSTDistiller`` as model.
        checkpoint (str): The student's checkpoint: after.
        before (str, optional): The checkpoint of before. None is the student as training begins:
            its ``init_cfg``, or the config's ``load_from``.
        images (Sequence[str]): The image files.
        device (str): Where the detectors run. Defaults to ``'cpu'``.

    Yields:
        list[LayerView]: Of each image, one view per transfer, with both students.

    Raises:
        UserError: Where the model is no distiller, or an image or a checkpoint will not do.
    """
    purpose = 'its transfers say which layers of which teacher to look at'
    distiller = build_distiller(cfg, purpose)
    data = [load_image(cfg, image) for image in images]
    if before is not None:
        load_strictly(distiller.student, before, 'student')
    else:
        start_weights(distiller, cfg)
    distiller.to(torch.device(device))
    first = [view_layers(distiller, one, 'before') for one in data]
    load_strictly(distiller.student, checkpoint, 'student')
    for views, one in zip(first, data):
        yield merge_views(views, view_layers(distiller, one, 'after'))

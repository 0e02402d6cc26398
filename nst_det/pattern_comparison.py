"""A distiller's student before and after, seen on some images."""

from collections.abc import Iterator, Sequence

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmengine.runner.checkpoint import load_state_dict

from nst_det.checkpoints import load_exactly, read_state_dict
from nst_det.errors import UserError
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
    model = cfg.get('model', {})
    if model.get('type') != 'NSTDistiller':
        raise UserError(
            f'the model of this config is a {model.get("type")}, expected an NSTDistiller: its '
            'transfers say which layers of which teacher to look at'
        )
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    data = [load_image(cfg, image) for image in images]
    set_random_seed(cfg.get('randomness', {}).get('seed') or 0)
    distiller = MODELS.build(model)
    if before is not None:
        load_exactly(distiller.student, before, 'student')
    else:
        distiller.init_weights()
        if cfg.get('load_from'):
            load_state_dict(distiller, read_state_dict(cfg.load_from))
    distiller.to(torch.device(device))
    first = [view_layers(distiller, one, 'before') for one in data]
    load_exactly(distiller.student, checkpoint, 'student')
    for views, one in zip(first, data):
        yield merge_views(views, view_layers(distiller, one, 'after'))

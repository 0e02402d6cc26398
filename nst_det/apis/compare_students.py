"""The feature maps of a student before and after a training, on some images."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.config import Config

from nst_det.apis.build import build_distiller, start_weights
from nst_det.fileio.fit import load_strictly
from nst_det.visualization.layer_view import (
    LayerView,
    load_image,
    load_test_images,
    merge_views,
    view_layers,
)


def compare_students(
    cfg: Config,
    checkpoint: str,
    before: str | None,
    images: Sequence[str],
    device: str = 'cpu',
    prefix: str | None = None,
    test_images: Sequence[int] = (),
) -> Iterator[list[LayerView]]:
    """Compute the feature maps of a distiller on images, with its student before and after.

    Args:
        cfg (Config): The complete config, with an ``NSTDistiller`` as model.
        checkpoint (str): The checkpoint of the student after the training.
        before (str, optional): The checkpoint of the student before it. None means the weights with
            which training begins.
        images (Sequence[str]): The image files.
        device (str): The device on which the detectors run. Defaults to ``'cpu'``.
        prefix (str, optional): What the names of the weights in ``checkpoint`` begin with. Defaults
            to None: it is found.
        test_images (Sequence[int]): Numbers of images in the test set, to look at as well. Defaults
            to none.

    Yields:
        list[LayerView]: For each image, one view per transfer with both students.

    Raises:
        UserError: If the model is no distiller, or an image or a checkpoint cannot be used.
    """
    purpose = 'its transfers name the layers to look at'
    distiller = build_distiller(cfg, purpose)
    samples = [load_image(cfg, image) for image in images]
    samples += load_test_images(cfg, test_images)
    if before is not None:
        load_strictly(distiller.student, before, 'student')
    else:
        start_weights(distiller, cfg)
    distiller.to(torch.device(device))
    first = [view_layers(distiller, sample, 'before') for sample in samples]
    load_strictly(distiller.student, checkpoint, 'student', prefix=prefix)
    for views, sample in zip(first, samples):
        yield merge_views(views, view_layers(distiller, sample, 'after'))

"""What teacher and student see of one image at the layers of a distiller's transfers."""

import re
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from torch import Tensor

from nst_det.errors import UserError
from nst_det.fileio.find import find_image
from nst_det.models.distillers import NSTDistiller
from nst_det.models.distillers.taps.geometry import compute_strides
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.transfers.base import Batch
from nst_det.models.distillers.transfers.feature_transfer import FeatureTransfer
from nst_det.models.losses import Kernel, PolynomialKernel, nst_mmd2


@dataclass
class LayerView:
    """One image at one transfer: the teacher's map and those of one student or several.

    Args:
        name (str): The image's name, without its folder and suffix.
        layer (str): The student's tapped layer.
        image (np.ndarray): The image at the size that the detectors saw, RGB `(H, W, 3)`, uint8.
        strides (tuple[float, float]): Vertical and horizontal pixels per position of the maps.
        kernel (Kernel): The transfer's kernel, or the paper's where its loss has none.
        teacher (Tensor): The teacher's map at the student's positions, `(C_T, H_l, W_l)`, float32
            on the CPU, without the positions outside the image.
        students (dict[str, Tensor]): Each student's map `(C_S, H_l, W_l)` by the student's title.
    """

    name: str
    layer: str
    image: np.ndarray
    strides: tuple[float, float]
    kernel: Kernel
    teacher: Tensor
    students: dict[str, Tensor]

    def mmd2(self, title: str) -> float:
        """MMD² between a student's patterns and the teacher's (NST, eq. 4).

        Args:
            title (str): The student's title.

        Returns:
            float: MMD².
        """
        return nst_mmd2(self.students[title][None], self.teacher[None], self.kernel).item()

    @property
    def label(self) -> str:
        """str: The layer, fit for the name of a file."""
        return re.sub(r'[^\w.-]', '_', self.layer)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """tuple[float, float, float, float]: Where the maps lie on the image, for ``imshow``."""
        height, width = self.teacher.shape[1:]
        return 0, width * self.strides[1], height * self.strides[0], 0


@torch.no_grad()
def view_layers(distiller: NSTDistiller, data: dict, title: str) -> list[LayerView]:
    """Look at an image through the tapped layers of a distiller.

    The distiller learns nothing from it and is left in the mode that it was in.

    Args:
        distiller (NSTDistiller): The distiller.
        data (dict): What a test pipeline gives for the image: ``inputs`` and ``data_samples``.
        title (str): What the distiller's student is called, such as ``'after'``.

    Returns:
        list[LayerView]: One per transfer between two layers.

    Raises:
        UserError: Where the distiller has no such transfer, or a layer does not run.
    """
    transfers = [one for one in distiller.transfers if isinstance(one, FeatureTransfer)]
    if not transfers:
        raise UserError('the distiller has no transfer between two layers: nothing to look at')
    training = distiller.training
    distiller.eval()
    try:
        inputs = distiller.data_preprocessor(pseudo_collate([data]), False)
        images, samples = inputs['inputs'], inputs['data_samples']
        teacher_output = distiller.open_teacher()(
            images, samples, distiller.data_preprocessor, [one.teacher_tap for one in transfers]
        )
        taps = [one.student_tap for one in transfers]
        with record(distiller.student, taps, 'student', stop_early=True) as tapped:
            distiller.student(images, samples, mode='tensor')
    finally:
        distiller.train(training)
    batch = Batch.of(images, samples, ignore_padding=True)
    picture = mmcv.imread(samples[0].img_path, channel_order='rgb')
    height, width = samples[0].metainfo.get('img_shape', picture.shape)[:2]
    picture = mmcv.imresize(picture, (width, height))
    views = []
    for transfer, one in zip(transfers, tapped):
        student_map, teacher_map, mask = transfer.pair(one, batch, teacher_output)
        size = student_map.shape[2:]
        rows, columns = size if mask is None else (mask.any(3).sum(), mask.any(2).sum())
        crop = [m[0, :, :rows, :columns].float().cpu() for m in (teacher_map, student_map)]
        views.append(
            LayerView(
                name=Path(samples[0].img_path).stem,
                layer=transfer.layer,
                image=picture,
                strides=compute_strides(batch.batch_input_shape, size),
                kernel=getattr(transfer.loss, 'kernel', None) or PolynomialKernel(),
                teacher=crop[0],
                students={title: crop[1]},
            )
        )
    return views


def merge_views(*groups: list[LayerView]) -> list[LayerView]:
    """Put the students of several looks at the same image and layers into one view per layer.

    Args:
        *groups (list[LayerView]): What :func:`view_layers` gave for each student, in their order.

    Returns:
        list[LayerView]: The last group's views, with all the students.
    """
    for views in zip(*groups):
        views[-1].students = {k: v for view in views for k, v in view.students.items()}
    return list(groups[-1])


def load_image(cfg: Config, path: str) -> dict:
    """Read an image through a config's test pipeline.

    Args:
        cfg (Config): The whole config.
        path (str): The image file.

    Returns:
        dict: What the pipeline gives.

    Raises:
        UserError: Where there is no such image, or the config has no test pipeline.
    """
    find_image(path)
    if not cfg.get('test_dataloader'):
        raise UserError('the config has no test_dataloader, whose pipeline would load the images')
    data = Compose(get_test_pipeline_cfg(cfg))(dict(img_path=str(path), img_id=0, instances=[]))
    if data is None:
        raise UserError(f'{path} cannot be read as an image')
    return data

"""The feature maps of one image at the layers of a distiller's transfers."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmdet.registry import DATASETS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import BaseDataElement
from torch import Tensor

from nst_det.errors import UserError
from nst_det.fileio.find import find_image
from nst_det.models.distillers import NSTDistiller
from nst_det.models.distillers.taps.classifier import is_classifier
from nst_det.models.distillers.taps.geometry import compute_strides
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch
from nst_det.models.distillers.transfers.feature_transfer import FeatureTransfer
from nst_det.models.losses import Kernel, PolynomialKernel, nst_mmd2


@dataclass
class LayerView:
    """The feature maps of one image for one transfer: of the teacher and of one student or more.

    Args:
        name (str): The file name of the image without its suffix, or its number in the data set.
        layer (str): The tapped layer of the student.
        image (np.ndarray): The image in the size that the networks take, RGB `(H, W, 3)`, uint8.
        strides (tuple[float, float]): Vertical and horizontal pixels per position.
        kernel (Kernel): The kernel of the transfer, or the paper's kernel if its loss has none.
        teacher (Tensor): The teacher's feature map at the positions of the student's,
            `(C_T, H_l, W_l)`, float32 on the CPU, without the positions outside the image.
        students (dict[str, Tensor]): The feature map `(C_S, H_l, W_l)` of each student, by the
            title of the student. It is the student's own feature map: a connector of the loss is
            not applied, because a student's checkpoint does not contain it.
    """

    name: str
    layer: str
    image: np.ndarray
    strides: tuple[float, float]
    kernel: Kernel
    teacher: Tensor
    students: dict[str, Tensor]

    def mmd2(self, title: str) -> float:
        """Compute MMD² between the patterns of a student and of the teacher (NST).

        Args:
            title (str): The title of the student.

        Returns:
            float: MMD².
        """
        return nst_mmd2(self.students[title][None], self.teacher[None], self.kernel).item()

    @property
    def label(self) -> str:
        """str: The layer, with the characters that a file name should not contain replaced."""
        return re.sub(r'[^\w.-]', '_', self.layer)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """tuple[float, float, float, float]: The area of the feature maps, for ``imshow``."""
        height, width = self.teacher.shape[1:]
        return 0, width * self.strides[1], height * self.strides[0], 0


@torch.no_grad()
def view_layers(distiller: NSTDistiller, data: dict, title: str) -> list[LayerView]:
    """Record the tapped feature maps of one image in the teacher and the student of a distiller.

    The distiller is not trained by this, and is left in the mode that it was in.

    Args:
        distiller (NSTDistiller): The distiller.
        data (dict): The output of a test pipeline for the image: ``inputs`` and ``data_samples``.
        title (str): The title of the distiller's student, such as ``'after'``.

    Returns:
        list[LayerView]: One for each transfer between feature maps.

    Raises:
        UserError: If the distiller has no such transfer, or a layer does not run.
    """
    transfers = [
        transfer for transfer in distiller.transfers if isinstance(transfer, FeatureTransfer)
    ]
    if not transfers:
        raise UserError(
            'the distiller has no transfer between feature maps, so there is nothing to draw: give '
            "one, such as dict(layer=…, loss=dict(type='NSTLoss'))"
        )
    training = distiller.training
    distiller.eval()
    try:
        inputs = distiller.data_preprocessor(pseudo_collate([data]), False)
        images, samples = inputs['inputs'], inputs['data_samples']
        teacher_outputs = {
            name: distiller.run_teacher(name, transfers, images, samples)
            for name in dict.fromkeys(transfer.teacher for transfer in transfers)
        }
        student_taps = [transfer.student_tap for transfer in transfers]
        with record(distiller.student, student_taps, 'student', stop_early=True) as tensors:
            distiller.student(images, samples, mode='tensor')
    finally:
        distiller.train(training)
    classifies = is_classifier(distiller.student)
    batch = Batch.of(images, samples, ignore_padding=not classifies)
    name = _name(samples[0])
    image = _loaded_image(data) if classifies else _read_image(samples[0])
    return [
        _make_view(transfer, tensor, batch, teacher_outputs[transfer.teacher], (name, image), title)
        for transfer, tensor in zip(transfers, tensors)
    ]


def _make_view(
    transfer: FeatureTransfer,
    student_tensor: Tensor,
    batch: Batch,
    teacher_output: TeacherOutput,
    named_image: tuple[str, np.ndarray],
    title: str,
) -> LayerView:
    student_map, teacher_map, mask = transfer.pair(student_tensor, batch, teacher_output)
    size = student_map.shape[2:]
    rows, columns = size if mask is None else (mask.any(3).sum(), mask.any(2).sum())
    teacher, student = (
        feature_map[0, :, :rows, :columns].float().cpu()
        for feature_map in (teacher_map, student_map)
    )
    name, image = named_image
    return LayerView(
        name=name,
        layer=transfer.layer,
        image=image,
        strides=compute_strides(batch.batch_input_shape, size),
        kernel=getattr(transfer.loss, 'kernel', None) or PolynomialKernel(),
        teacher=teacher,
        students={title: student},
    )


def _name(sample: BaseDataElement) -> str:
    """The name of an image: that of its file, or its number where a data set holds the pixels."""
    path = sample.get('img_path')
    return f'image{sample.get("sample_idx", 0)}' if path is None else Path(path).stem


def _loaded_image(data: dict) -> np.ndarray:
    """The image that a classifier takes, which may be a part of its file: RGB `(H, W, 3)`."""
    image = data['inputs'].permute(1, 2, 0).clamp(0, 255).to(torch.uint8).numpy()
    # Files are loaded as BGR; a data set that holds the pixels itself has RGB.
    return image if data['data_samples'].get('img_path') is None else image[..., ::-1]


def _read_image(sample: BaseDataElement) -> np.ndarray:
    """Read the image of a sample in the size that the detectors take."""
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    height, width = sample.metainfo.get('img_shape', image.shape)[:2]
    return mmcv.imresize(image, (width, height))


def merge_views(*groups: list[LayerView]) -> list[LayerView]:
    """Merge the views of the same image and layers so that each view has all students.

    Args:
        *groups (list[LayerView]): The views of :func:`view_layers` for each student.

    Returns:
        list[LayerView]: The views of the last group, with the students of all groups in order.
    """
    for views in zip(*groups):
        views[-1].students = {
            title: student for view in views for title, student in view.students.items()
        }
    return list(groups[-1])


def load_image(cfg: Config, path: str) -> dict:
    """Load an image by the test pipeline of a config.

    Args:
        cfg (Config): The complete config.
        path (str): The image file.

    Returns:
        dict: The output of the pipeline.

    Raises:
        UserError: If there is no such image, or the config has no test pipeline.
    """
    find_image(path)
    if not cfg.get('test_dataloader'):
        raise UserError(
            'the config has no test_dataloader, whose pipeline is needed to load an image: give one'
        )
    data = Compose(get_test_pipeline_cfg(cfg))(dict(img_path=str(path), img_id=0, instances=[]))
    if data is None:
        raise UserError(f'{path} cannot be read as an image: give a JPEG or PNG file')
    if 'inputs' not in data:
        raise UserError(
            f'{path} cannot be loaded, because the test pipeline of this config reads no files: '
            'choose images of its data set, such as --test-images 0'
        )
    return data


def load_test_images(cfg: Config, numbers: Sequence[int]) -> list[dict]:
    """Load images of the test set of a config.

    Args:
        cfg (Config): The complete config.
        numbers (Sequence[int]): Their numbers in the data set, from 0.

    Returns:
        list[dict]: The output of the test pipeline for each.

    Raises:
        UserError: If the config has no test set, or not so many images.
    """
    if not numbers:
        return []
    if not cfg.get('test_dataloader'):
        raise UserError('the config has no test_dataloader, whose images are asked for: give one')
    dataset = DATASETS.build(deepcopy(cfg.test_dataloader.dataset))
    for number in numbers:
        if not 0 <= number < len(dataset):
            raise UserError(
                f'--test-images has {number}, but the test set has the images 0 to '
                f'{len(dataset) - 1}'
            )
    return [dataset[number] for number in numbers]

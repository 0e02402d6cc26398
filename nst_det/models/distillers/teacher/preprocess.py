"""How the teacher sees the student's images: its own normalisation, channel order and padding."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


class TeacherPreprocess:
    """Turns a batch that the student's preprocessor made into what the teacher's would have made.

    Both preprocessors are per-pixel affine maps of the raw colours, so their composition
    teacher ∘ student⁻¹ is one as well. Where the two agree, the student's batch itself is used.

    Args:
        student (BaseDataPreprocessor): The student's data preprocessor.
        teacher (BaseDataPreprocessor): The teacher's.
    """

    def __init__(self, student: BaseDataPreprocessor, teacher: BaseDataPreprocessor) -> None:
        student_matrix, student_shift = _affine(student)
        matrix, shift = _affine(teacher)
        self.same_colours = torch.equal(matrix, student_matrix) and torch.equal(
            shift, student_shift
        )
        self.matrix = matrix @ torch.linalg.inv(student_matrix)
        self.shift = shift - self.matrix @ student_shift
        self.divisor = getattr(teacher, 'pad_size_divisor', 1)
        self.pad_value = float(getattr(teacher, 'pad_value', 0))
        self.same_padding = self.pad_value == float(getattr(student, 'pad_value', 0))

    def __call__(
        self, images: Tensor, samples: Sequence[DetDataSample]
    ) -> tuple[Tensor, list[DetDataSample]]:
        """See a batch the teacher's way.

        Args:
            images (Tensor): The student's batch, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): Its samples; they are not changed.

        Returns:
            tuple[Tensor, list[DetDataSample]]: The teacher's batch, `(N, 3, H', W')` with H' and W'
            padded to its divisor, and samples with the matching metainfo and no annotations.
        """
        height, width = images.shape[2:]
        if not self.same_colours:
            # Elementwise, for a matrix product may round to TF32 or to autocast's type.
            columns = self.matrix.to(images).T[:, :, None, None]
            shift = self.shift.to(images)[:, None, None]
            images = sum(images[:, c : c + 1] * columns[c] for c in range(3)) + shift
        if not (self.same_colours and self.same_padding):
            images = images.clone() if self.same_colours else images
            for image, sample in zip(images, samples):
                h, w = sample.metainfo.get('img_shape', (height, width))[:2]
                image[:, h:] = self.pad_value
                image[:, :, w:] = self.pad_value
        bottom = math.ceil(height / self.divisor) * self.divisor - height
        right = math.ceil(width / self.divisor) * self.divisor - width
        if bottom or right:
            images = F.pad(images, (0, right, 0, bottom), value=self.pad_value)
        shape = tuple(images.shape[2:])
        views = []
        for sample in samples:
            view = DetDataSample(metainfo=sample.metainfo)
            view.set_metainfo(dict(batch_input_shape=shape, pad_shape=shape))
            views.append(view)
        return images, views


def _affine(preprocessor: BaseDataPreprocessor) -> tuple[Tensor, Tensor]:
    """Measure a preprocessor's colour map ``out = matrix @ raw + shift`` by what it does."""
    black = torch.zeros(3, 1, 1, dtype=torch.uint8)
    probes = [black.clone() for _ in range(4)]
    for channel in range(3):
        probes[channel + 1][channel] = 255
    colours = [
        preprocessor(dict(inputs=[probe], data_samples=None), False)['inputs'][0][:, 0, 0]
        for probe in probes
    ]
    shift, *columns = (colour.double().cpu() for colour in colours)
    return torch.stack([(column - shift) / 255 for column in columns], 1), shift

"""The student's batch with the teacher's normalisation, channel order and padding."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


class TeacherPreprocess:
    """Turns a batch of the student's preprocessor into a batch of the teacher's preprocessor.

    Both preprocessors apply an affine function to the colours of a pixel, so the step from one to
    the other (teacher ∘ student⁻¹) is an affine function too. If the two preprocessors agree, the
    student's batch itself is used.

    Args:
        student (BaseDataPreprocessor): The student's data preprocessor.
        teacher (BaseDataPreprocessor): The teacher's data preprocessor.
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
        self, inputs: Tensor, samples: Sequence[DetDataSample]
    ) -> tuple[Tensor, list[DetDataSample]]:
        """Preprocess a batch for the teacher.

        Args:
            inputs (Tensor): The student's batch, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): The samples of the batch; they are not changed.

        Returns:
            tuple[Tensor, list[DetDataSample]]: The teacher's batch, `(N, 3, H', W')` with H' and W'
            padded to the teacher's divisor, and samples with the matching metainfo and without
            annotations.
        """
        inputs = self._pad(self._recolour(inputs, samples))
        shape = tuple(inputs.shape[2:])
        teacher_samples = []
        for sample in samples:
            teacher_sample = DetDataSample(metainfo=sample.metainfo)
            teacher_sample.set_metainfo(dict(batch_input_shape=shape, pad_shape=shape))
            teacher_samples.append(teacher_sample)
        return inputs, teacher_samples

    def _recolour(self, inputs: Tensor, samples: Sequence[DetDataSample]) -> Tensor:
        """Change the colours of the images, and the value of the padding beside them."""
        if self.same_colours and self.same_padding:
            return inputs
        if self.same_colours:
            recoloured = inputs.clone()
        else:
            # Elementwise, because a matrix product may round to TF32 or to the type of autocast.
            columns = self.matrix.to(inputs).T[:, :, None, None]
            shift = self.shift.to(inputs)[:, None, None]
            recoloured = sum(inputs[:, c : c + 1] * columns[c] for c in range(3)) + shift
        for image, sample in zip(recoloured, samples):
            height, width = sample.metainfo.get('img_shape', inputs.shape[2:])[:2]
            image[:, height:] = self.pad_value
            image[:, :, width:] = self.pad_value
        return recoloured

    def _pad(self, inputs: Tensor) -> Tensor:
        """Pad the batch to the right and below, to the next multiples of the divisor."""
        bottom, right = (
            math.ceil(size / self.divisor) * self.divisor - size for size in inputs.shape[2:]
        )
        if not (bottom or right):
            return inputs
        return F.pad(inputs, (0, right, 0, bottom), value=self.pad_value)


def _affine(preprocessor: BaseDataPreprocessor) -> tuple[Tensor, Tensor]:
    """Measure the function ``colour = matrix @ raw + shift`` of a preprocessor on four images."""
    black = torch.zeros(3, 1, 1, dtype=torch.uint8)
    images = [black.clone() for _ in range(4)]
    for channel in range(3):
        images[channel + 1][channel] = 255
    colours = [
        preprocessor(dict(inputs=[image], data_samples=None), False)['inputs'][0][:, 0, 0]
        for image in images
    ]
    shift, *columns = (colour.double().cpu() for colour in colours)
    return torch.stack([(column - shift) / 255 for column in columns], 1), shift

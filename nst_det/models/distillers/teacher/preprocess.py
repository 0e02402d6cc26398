"""The student's batch with the teacher's normalisation, channel order, size and padding."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from nst_det.errors import UserError


class TeacherPreprocess:
    """Turns a batch of the student's preprocessor into a batch of the teacher's preprocessor.

    Both preprocessors apply an affine function to the colours of a pixel, so the step from one to
    the other (teacher ∘ student⁻¹) is an affine function too. If the two preprocessors agree, the
    student's batch itself is used. On request the images are resized first (bilinear). A grey image
    is repeated for a teacher that takes colours.

    Args:
        student (BaseDataPreprocessor): The student's data preprocessor.
        teacher (BaseDataPreprocessor): The teacher's data preprocessor.
        channels (int): The number of channels of the student's images. Defaults to 3.
        teacher_channels (int, optional): That of the teacher's images. Defaults to None, the same.
        scale (float): The size of the teacher's images over that of the student's. Defaults to 1.

    Attributes:
        recipe (str, optional): What the pixels of the teacher's images follow from, beside the
            loaded picture and the teacher; None if that is not known.

    Raises:
        UserError: If the teacher takes another number of channels, and the images are not grey.
    """

    def __init__(
        self,
        student: BaseDataPreprocessor,
        teacher: BaseDataPreprocessor,
        channels: int = 3,
        teacher_channels: int | None = None,
        scale: float = 1.0,
    ) -> None:
        teacher_channels = teacher_channels or channels
        check_channels(channels, teacher_channels)
        student_matrix, student_shift = _affine(student, channels)
        matrix, shift = _affine(teacher, teacher_channels)
        self.same_colours = torch.equal(matrix, student_matrix) and torch.equal(
            shift, student_shift
        )
        if channels < teacher_channels:
            matrix = matrix.sum(dim=1, keepdim=True)
        self.matrix = matrix @ torch.linalg.inv(student_matrix)
        self.shift = shift - self.matrix @ student_shift
        self.divisor = getattr(teacher, 'pad_size_divisor', 1)
        self.student_divisor = getattr(student, 'pad_size_divisor', 1)
        self.pad_value = float(getattr(teacher, 'pad_value', 0))
        self.student_pad_value = float(getattr(student, 'pad_value', 0))
        self.same_padding = self.pad_value == self.student_pad_value
        self.scale = scale
        # Batch augments may draw random sizes, and another class may do anything.
        is_known = type(student) is DetDataPreprocessor and student.batch_augments is None
        self.recipe: str | None = None
        if is_known:
            affine = student_matrix.tolist(), student_shift.tolist(), self.student_pad_value
            self.recipe = f'{affine} {scale}'

    def own_shape(self, sample: DetDataSample, batch_shape: Sequence[int]) -> tuple[int, int]:
        """Compute the size that the teacher's batch would have if an image were alone in it.

        Args:
            sample (DetDataSample): The student's sample of the image.
            batch_shape (Sequence[int]): H and W of the student's batch.

        Returns:
            tuple[int, int]: H and W.
        """
        image_shape = sample.metainfo.get('img_shape', batch_shape)[:2]
        sides = [
            min(_round_up(side, self.student_divisor), full)
            for side, full in zip(image_shape, batch_shape)
        ]
        height, width = (_round_up(round(side * self.scale), self.divisor) for side in sides)
        return height, width

    def __call__(
        self, inputs: Tensor, samples: Sequence[DetDataSample]
    ) -> tuple[Tensor, list[DetDataSample]]:
        """Preprocess a batch for the teacher.

        Args:
            inputs (Tensor): The student's batch, `(N, C, H, W)`.
            samples (Sequence[DetDataSample]): The samples of the batch; they are not changed.

        Returns:
            tuple[Tensor, list[DetDataSample]]: The teacher's batch, `(N, C', H', W')` with H'
            and W' padded to the teacher's divisor, and samples with the matching metainfo and
            without annotations.
        """
        samples = [DetDataSample(metainfo=sample.metainfo) for sample in samples]
        if self.scale != 1:
            inputs = self._resize(inputs, samples)
        inputs = self._pad(self._recolour(inputs, samples))
        shape = tuple(inputs.shape[2:])
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=shape, pad_shape=shape))
        return inputs, samples

    def _resize(self, inputs: Tensor, samples: Sequence[DetDataSample]) -> Tensor:
        """Resize each image without the padding beside it, and note its new size in its sample."""
        size = tuple(round(side * self.scale) for side in inputs.shape[2:])
        resized = inputs.new_full((*inputs.shape[:2], *size), self.student_pad_value)
        for image, target, sample in zip(inputs, resized, samples):
            height, width = sample.metainfo.get('img_shape', inputs.shape[2:])[:2]
            shape = tuple(max(1, round(side * self.scale)) for side in (height, width))
            target[:, : shape[0], : shape[1]] = F.interpolate(
                image[None, :, :height, :width],
                shape,
                mode='bilinear',
                align_corners=False,
                antialias=self.scale < 1,
            )[0]
            factors = sample.metainfo.get('scale_factor', (1.0, 1.0))
            scale_factor = tuple(factor * self.scale for factor in factors)
            sample.set_metainfo(dict(img_shape=shape, scale_factor=scale_factor))
        return resized

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
            channels = range(inputs.shape[1])
            recoloured = sum(inputs[:, c : c + 1] * columns[c] for c in channels) + shift
        for image, sample in zip(recoloured, samples):
            height, width = sample.metainfo.get('img_shape', inputs.shape[2:])[:2]
            image[:, height:] = self.pad_value
            image[:, :, width:] = self.pad_value
        return recoloured

    def _pad(self, inputs: Tensor) -> Tensor:
        """Pad the batch to the right and below, to the next multiples of the divisor."""
        bottom, right = (_round_up(size, self.divisor) - size for size in inputs.shape[2:])
        if not (bottom or right):
            return inputs
        return F.pad(inputs, (0, right, 0, bottom), value=self.pad_value)


def check_channels(student: int, teacher: int) -> None:
    """Check that the images of a student can be given to a teacher.

    Args:
        student (int): The number of channels of the student's images.
        teacher (int): That of the teacher's images.

    Raises:
        UserError: If they differ, and the student's images are not grey.
    """
    if student not in (1, teacher):
        raise UserError(
            f"the student's images have {student} channels, and the teacher takes {teacher}: give "
            'a teacher for such images. Only a grey image is repeated for a teacher of more '
            'channels'
        )


def _round_up(size: int, divisor: int) -> int:
    return math.ceil(size / divisor) * divisor


def _affine(preprocessor: BaseDataPreprocessor, channels: int) -> tuple[Tensor, Tensor]:
    """Measure the function ``colour = matrix @ raw + shift`` of a preprocessor on some images."""
    black = torch.zeros(channels, 1, 1, dtype=torch.uint8)
    images = [black.clone() for _ in range(channels + 1)]
    for channel in range(channels):
        images[channel + 1][channel] = 255
    colours = [
        preprocessor(dict(inputs=[image], data_samples=None), False)['inputs'][0][:, 0, 0]
        for image in images
    ]
    shift, *columns = (colour.double().cpu() for colour in colours)
    return torch.stack([(column - shift) / 255 for column in columns], 1), shift

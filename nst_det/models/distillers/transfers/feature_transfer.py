"""A transfer between a feature map of the student and one of the teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import (
    align_feature_map,
    compute_strides,
    image_mask,
    positions_inside,
)
from nst_det.models.distillers.taps.recorder import pick_by_stride, record
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.losses import TransferLoss
from nst_det.models.losses.positions import boxes_to_positions


class FeatureTransfer(Transfer):
    """A transfer that makes a feature map of the student similar to one of the teacher.

    Args:
        student_tap (Tap): The student's feature map, which learns.
        teacher_tap (Tap): The teacher's feature map.
        loss (TransferLoss): A loss that compares features: takes both feature maps and the mask of
            the positions that count, gives a scalar.
        name (str): The key of the loss in the loss dict.
        foreground_margin (float, optional): Only positions inside a ground-truth box count, or at
            most this many pixels beside one. Defaults to None: all positions count.
    """

    def __init__(
        self,
        student_tap: Tap,
        teacher_tap: Tap,
        loss: TransferLoss,
        name: str,
        foreground_margin: float | None = None,
    ) -> None:
        super().__init__(loss, name, student_tap.layer)
        self.student_tap = student_tap
        self.teacher_tap = teacher_tap
        self.foreground_margin = foreground_margin

    def check_student(self, detector: nn.Module) -> None:
        self.student_tap = pick_by_stride(detector, self.student_tap, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        self.teacher_tap = pick_by_stride(detector, self.teacher_tap, 'teacher')

    @property
    def teacher_taps(self) -> list[Tap]:
        return [self.teacher_tap]

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        with record(student, [self.student_tap], 'student') as tensors:
            yield StudentOutput(tensors)

    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        student_map, teacher_map, mask = self.pair(student_tensors[0], batch, teacher_output)
        if self.foreground_margin is not None:
            foreground = self._foreground(batch, student_map, self.foreground_margin)
            mask = foreground if mask is None else mask & foreground
        if not getattr(self.loss, 'needs_boxes', False):
            return self.loss(student_map, teacher_map, mask)
        boxes = self._boxes(batch, student_map.shape[2:])
        return self.loss(student_map, teacher_map, mask, boxes)

    def pair(
        self, student_tensor: Tensor, batch: Batch, teacher_output: TeacherOutput
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Bring the two feature maps to the same positions.

        Args:
            student_tensor (Tensor): What the student's tap recorded, or a view of it.
            batch (Batch): The student's batch.
            teacher_output (TeacherOutput): The teacher's output for this batch.

        Returns:
            tuple[Tensor, Tensor, Tensor or None]: The student's feature map `(N, C_S, H, W)`, the
            teacher's feature map `(N, C_T, H, W)`, and the mask of the positions inside the images,
            `(N, 1, H, W)`, or None if all are.
        """
        student_map = self.student_tap.as_map(student_tensor, batch.shape, 'student')
        teacher_map = align_feature_map(
            teacher_output.feature_maps[self.teacher_tap],
            teacher_output.batch_input_shape,
            student_map.shape[2:],
            batch.batch_input_shape,
            batch.image_sizes,
            teacher_output.scale,
        )
        mask = image_mask(batch.image_sizes, batch.batch_input_shape, student_map)
        return student_map, teacher_map, mask

    def _foreground(self, batch: Batch, feature_map: Tensor, margin: float) -> Tensor:
        """The mask of the positions on objects, `(N, 1, H, W)`."""
        size = feature_map.shape[2:]
        boxes = self._boxes(batch, size, margin)
        masks = [boxes_to_positions(of_image, size).any(0) for of_image in boxes]
        return torch.stack(masks)[:, None].to(feature_map.device)

    def _boxes(self, batch: Batch, size: Sequence[int], margin: float = 0) -> list[Tensor]:
        """The ground-truth boxes with a margin, in positions of a feature map of a given size.

        They are cut at the centres of the outermost positions inside the image, so that none lies
        beside all of them.
        """
        if batch.boxes is None:
            raise UserError(
                f'{self.name} needs the ground-truth boxes of the images, but the batch has none: '
                "put dict(type='LoadAnnotations', with_bbox=True) into the pipeline"
            )
        strides = compute_strides(batch.batch_input_shape, size)
        image_sizes = batch.image_sizes or [batch.batch_input_shape] * len(batch.boxes)
        cut = []
        for of_image, rows, columns in zip(
            batch.boxes, *positions_inside(image_sizes, strides, size)
        ):
            grown = of_image + of_image.new_tensor([-margin, -margin, margin, margin])
            positions = grown / of_image.new_tensor([strides[1], strides[0]] * 2)
            outermost = of_image.new_tensor([columns - 0.5, rows - 0.5] * 2)
            cut.append(torch.minimum(positions, outermost).clamp(min=0.5))
        return cut

"""A transfer between one feature map of the student's and one of the teacher's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from nst_det.models.distillers.taps.geometry import align, inside
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.losses import FeatureLoss


class FeatureTransfer(Transfer):
    """Makes a map of the student's like one of the teacher's.

    Args:
        student_tap (Tap): Where the student learns.
        teacher_tap (Tap): What it learns from.
        loss (FeatureLoss): Takes the student's and the teacher's feature map and the mask of the
            positions that count, gives a scalar.
        name (str): The loss's key among the student's losses.
    """

    def __init__(self, student_tap: Tap, teacher_tap: Tap, loss: FeatureLoss, name: str) -> None:
        super().__init__(loss, name, student_tap.layer)
        self.student_tap = student_tap
        self.teacher_tap = teacher_tap

    def check_student(self, detector: nn.Module) -> None:
        self.student_tap.module(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        self.teacher_tap.module(detector, 'teacher')

    @property
    def teacher_taps(self) -> list[Tap]:
        return [self.teacher_tap]

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        with record(student, [self.student_tap], 'student') as tapped:
            yield StudentOutput(tapped)

    def compare(
        self,
        seen: Sequence[Tensor],
        observed: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        return self.loss(*self.pair(seen[0], batch, teacher_output))

    def pair(
        self, tapped: Tensor, batch: Batch, teacher_output: TeacherOutput
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Bring the two maps to the same positions.

        Args:
            tapped (Tensor): What the student's tap recorded, or a view of it.
            batch (Batch): The student's batch.
            teacher_output (TeacherOutput): What the teacher made of it.

        Returns:
            tuple[Tensor, Tensor, Tensor or None]: The student's map `(N, C_S, H, W)`, the teacher's
            `(N, C_T, H, W)`, and the mask of the positions that count, `(N, 1, H, W)`, None where
            all do.
        """
        student_map = self.student_tap.as_map(tapped, batch.shape, 'student')
        teacher_map = align(
            teacher_output.feature_maps[self.teacher_tap],
            teacher_output.batch_input_shape,
            student_map.shape[2:],
            batch.canvas,
            batch.sizes,
        )
        return student_map, teacher_map, inside(batch.sizes, batch.canvas, student_map)

"""A transfer between the queries of two detectors of the DETR family."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.logits import QueryLogits
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.losses import TransferLoss

QUERIES = 'queries'


class QueryTransfer(Transfer):
    """A transfer that makes the student's queries predict what the teacher's queries predict.

    Args:
        loss (TransferLoss): A loss that compares queries: takes the logits and the boxes of both,
            gives a scalar.
        name (str): The key of the loss in the loss dict.
    """

    def __init__(self, loss: TransferLoss, name: str) -> None:
        super().__init__(loss, name, QUERIES)
        self.of_student: QueryLogits | None = None

    def check_student(self, detector: nn.Module) -> None:
        self.of_student = QueryLogits(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        QueryLogits(detector, 'teacher')

    @property
    def needs_logits(self) -> bool:
        return True

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        self.of_student = QueryLogits(student, 'student')
        with self.of_student.record() as (predictions, _):
            yield StudentOutput(predictions)

    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        student, student_boxes = self.of_student.last_layer(student_tensors)
        teacher, teacher_boxes = teacher_output.compute_logits()
        sigmoid = teacher_output.logits.sigmoid
        if student.shape[2] != teacher.shape[2] or self.of_student.sigmoid != sigmoid:
            raise UserError(
                f'{type(self.loss).__name__}: the student gives {student.shape[2]} logits per '
                f'query, the teacher {teacher.shape[2]}: both need the same classes, and both a '
                'sigmoid per class or a softmax with background'
            )
        return self.loss(student, teacher, student_boxes, teacher_boxes, sigmoid)

"""A transfer between the class logits of the student and of the teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import compute_strides, image_mask
from nst_det.models.distillers.taps.logits import find_logits
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.losses import TransferLoss

LOGITS = 'logits'


class LogitTransfer(Transfer):
    """A transfer that makes the student classify as the teacher does.

    In two-stage detectors the RoI head of the teacher classifies the regions that the student
    sampled. In one-stage detectors the dense heads of both classify the same positions.

    Args:
        loss (TransferLoss): A loss that compares logits: takes those of student and teacher, gives
            a scalar.
        name (str): The key of the loss in the loss dict.
    """

    def __init__(self, loss: TransferLoss, name: str) -> None:
        super().__init__(loss, name, LOGITS)

    def check_student(self, detector: nn.Module) -> None:
        find_logits(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        find_logits(detector, 'teacher')

    @property
    def needs_logits(self) -> bool:
        return True

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        with find_logits(student, 'student').record() as (logits, rois):
            yield StudentOutput(logits, rois)

    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        dense = student_output.rois is None
        if dense != teacher_output.logits.dense:
            student, teacher = ('one', 'two') if dense else ('two', 'one')
            raise UserError(
                f'KDLoss cannot compare a {student}-stage student and a {teacher}-stage teacher: '
                'both need a RoI head, or neither'
            )
        if dense:
            return self._compare_positions(student_tensors, batch, teacher_output)
        return self._compare_regions(student_tensors, student_output.rois, teacher_output)

    def _compare_regions(
        self,
        student_logits: Sequence[Tensor],
        rois: Sequence[Tensor],
        teacher_output: TeacherOutput,
    ) -> Tensor:
        """Average the loss of the regions over the stages."""
        teacher_logits = teacher_output.compute_logits(rois)
        if len(teacher_logits) != len(student_logits):
            raise UserError(
                f'KDLoss: the student classifies in {len(student_logits)} stages, the teacher in '
                f'{len(teacher_logits)}: both need to be cascades of the same length, or neither'
            )
        losses = []
        for student, teacher in zip(student_logits, teacher_logits):
            _check_classes(student.shape[1], teacher.shape[1])
            losses.append(self.loss(student, teacher, teacher_output.logits.sigmoid))
        return torch.stack(losses).mean()

    def _compare_positions(
        self, student_logits: Sequence[Tensor], batch: Batch, teacher_output: TeacherOutput
    ) -> Tensor:
        """Compute the loss over the positions of all levels that lie inside the images."""
        sigmoid = teacher_output.logits.sigmoid
        classes = teacher_output.logits.channels  # type: ignore[union-attr]  # DenseLogits
        rows = []
        for student, teacher in zip(student_logits, teacher_output.compute_logits(), strict=True):
            _check_classes(student.shape[1], teacher.shape[1])
            teacher = _cut(teacher, teacher_output.batch_input_shape, student, batch)
            mask = image_mask(batch.image_sizes, batch.batch_input_shape, student)
            rows.append([_as_rows(logits, classes, mask) for logits in (student, teacher)])
        student, teacher = (torch.cat(levels) for levels in zip(*rows))
        return self.loss(student, teacher, sigmoid, expected_objects(teacher, sigmoid))


def expected_objects(logits: Tensor, sigmoid: bool) -> Tensor:
    """Estimate from logits how many of the positions show an object.

    Args:
        logits (Tensor): The logits, `(R, K)`; with softmax the last class is background.
        sigmoid (bool): Whether each class has a sigmoid, instead of a softmax over all.

    Returns:
        Tensor: The sum over the positions of the probability of an object (with sigmoids, of the
        likeliest class), at least 1: a scalar. In distributed training it is the mean over the
        processes, so that the mean of their losses is the loss of the whole batch.
    """
    logits = logits.float()
    chance = logits.amax(1).sigmoid() if sigmoid else 1 - logits.softmax(1)[:, -1]
    objects = chance.sum()
    all_reduce(objects)
    return objects.clamp(min=1) / get_world_size()


def _cut(
    teacher: Tensor, teacher_batch_input_shape: Sequence[int], student: Tensor, batch: Batch
) -> Tensor:
    """Cut off the positions of a level that the student does not have."""
    size, teacher_size = student.shape[2:], teacher.shape[2:]
    strides = compute_strides(batch.batch_input_shape, size)
    if (
        strides != compute_strides(teacher_batch_input_shape, teacher_size)
        or teacher_size[0] < size[0]
        or teacher_size[1] < size[1]
    ):
        raise UserError(
            f'KDLoss: the student classifies {tuple(size)} positions, the teacher '
            f'{tuple(teacher_size)} of the same images: both need the same strides'
        )
    return teacher[:, :, : size[0], : size[1]]


def _as_rows(logits: Tensor, classes: int, mask: Tensor | None) -> Tensor:
    """Reshape a level `(N, A·K, H, W)` to rows `(R, K)`, only those inside the images."""
    rows = logits.unflatten(1, (-1, classes)).permute(0, 1, 3, 4, 2)
    if mask is None:
        return rows.reshape(-1, classes)
    return rows[mask.expand(rows.shape[:4])]


def _check_classes(student: int, teacher: int) -> None:
    if student != teacher:
        raise UserError(
            f'KDLoss: the student gives {student} logits per region, the teacher {teacher}: '
            'both need the same classes (and, in dense heads, as many anchors per position)'
        )

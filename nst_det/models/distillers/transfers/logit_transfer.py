"""A transfer of what a teacher's head says of the classes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import inside, strides_of_map
from nst_det.models.distillers.taps.logits import find_logits
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.losses import TransferLoss

CLASS_SCORES = 'class_scores'


class LogitTransfer(Transfer):
    """Makes the student classify as the teacher does.

    A two-stage student's own sampled regions are classified by the teacher's RoI head, a one-stage
    student's positions by the teacher's dense head.

    Args:
        loss (TransferLoss): Takes both class scores, gives a scalar.
        name (str): The loss's key among the student's losses.
    """

    def __init__(self, loss: TransferLoss, name: str) -> None:
        super().__init__(loss, name, CLASS_SCORES)

    def check_student(self, detector: nn.Module) -> None:
        find_logits(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        find_logits(detector, 'teacher')

    @property
    def needs_features(self) -> bool:
        return True

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        with find_logits(student, 'student').record() as (scores, rois):
            observed = StudentOutput(scores)
            yield observed
        observed.rois = rois

    def compare(
        self,
        seen: Sequence[Tensor],
        observed: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        dense = observed.rois is None
        if dense != teacher_output.logits.dense:
            kinds = ['two-stage', 'one-stage']
            raise UserError(
                f'KDLoss cannot compare a {kinds[dense]} student and a {kinds[not dense]} teacher: '
                'both need a RoI head, or neither'
            )
        if dense:
            return self._dense(seen, teacher_output.compute_logits(), batch, teacher_output)
        taught = teacher_output.compute_logits(observed.rois)
        if len(taught) != len(seen):
            raise UserError(
                f'KDLoss: the student classifies in {len(seen)} stages, the teacher in '
                f'{len(taught)}: both have to be cascades of the same length, or neither'
            )
        for student, teacher in zip(seen, taught):
            _check_classes(student.shape[1], teacher.shape[1])
        sigmoid = teacher_output.logits.sigmoid
        losses = [self.loss(student, teacher, sigmoid) for student, teacher in zip(seen, taught)]
        return torch.stack(losses).mean()

    def _dense(
        self,
        seen: Sequence[Tensor],
        taught: Sequence[Tensor],
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        classes = teacher_output.logits.channels  # type: ignore[union-attr]  # a dense one
        rows = []
        for student, teacher in zip(seen, taught, strict=True):
            _check_classes(student.shape[1], teacher.shape[1])
            size = student.shape[2:]
            if strides_of_map(batch.canvas, size) != strides_of_map(
                teacher_output.batch_input_shape, teacher.shape[2:]
            ) or any(have < want for have, want in zip(teacher.shape[2:], size)):
                raise UserError(
                    f'KDLoss: the student classifies {tuple(size)} positions, the teacher '
                    f'{tuple(teacher.shape[2:])} of the same images: both need the same strides'
                )
            teacher = teacher[:, :, : size[0], : size[1]]
            mask = inside(batch.sizes, batch.canvas, student)
            rows.append([_rows(scores, classes, mask) for scores in (student, teacher)])
        student, teacher = (torch.cat(levels) for levels in zip(*rows))
        sigmoid = teacher_output.logits.sigmoid
        return self.loss(student, teacher, sigmoid, expected_objects(teacher, sigmoid))


def expected_objects(scores: Tensor, sigmoid: bool) -> Tensor:
    """How many of some positions show an object, as class scores have it.

    Args:
        scores (Tensor): The class scores before softmax or sigmoid, `(R, K)`; with softmax the last
            class is background.
        sigmoid (bool): Whether each class has a sigmoid of its own.

    Returns:
        Tensor: The sum of the positions' probabilities of an object (of their likeliest class with
        sigmoids), at least 1: a scalar. In distributed training it is each process's share of all
        the processes' objects, so that the mean of their losses is that of the whole batch.
    """
    scores = scores.float()
    chance = scores.amax(1).sigmoid() if sigmoid else 1 - scores.softmax(1)[:, -1]
    objects = chance.sum()
    all_reduce(objects)
    return objects.clamp(min=1) / get_world_size()


def _rows(scores: Tensor, classes: int, mask: Tensor | None) -> Tensor:
    """Lay a level's scores `(N, A·K, H, W)` out as `(R, K)`, those inside the images only."""
    rows = scores.unflatten(1, (-1, classes)).permute(0, 1, 3, 4, 2)
    if mask is None:
        return rows.reshape(-1, classes)
    return rows[mask.expand(rows.shape[:4])]


def _check_classes(student: int, teacher: int) -> None:
    if student != teacher:
        raise UserError(
            f'KDLoss: the student gives {student} class scores per region, the teacher {teacher}: '
            'both need the same classes (and, in dense heads, as many anchors per position)'
        )

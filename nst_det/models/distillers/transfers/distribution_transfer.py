"""A transfer between the distributions that GFL predicts for the edges of boxes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import Recorder
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.distillers.transfers.dense_levels import cut_level
from nst_det.models.losses import TransferLoss

DISTRIBUTIONS = 'distributions'


@dataclass(frozen=True)
class DistributionOutput(StudentOutput):
    """The student's distributions with its class logits and the targets of its assigner.

    Args:
        logits (list[Tensor]): The class logits of each level, `(N, K, H, W)`.
        labels (list[Tensor]): The class of each position of each level, `(N, H·W)`; K or more, or
            negative, if it is on no object.
    """

    logits: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)


class DistributionTransfer(Transfer):
    """A transfer that makes the student as sure of the edges of boxes as the teacher is.

    Args:
        loss (TransferLoss): A loss that compares distributions: takes those of student and teacher
            and the weights of the positions, gives a scalar.
        name (str): The key of the loss in the loss dict.
    """

    def __init__(self, loss: TransferLoss, name: str) -> None:
        super().__init__(loss, name, DISTRIBUTIONS)

    def check_student(self, detector: nn.Module) -> None:
        self._check(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        self._check(detector, 'teacher')

    def _check(self, detector: nn.Module, role: str) -> None:
        head = getattr(detector, 'bbox_head', None)
        if not (hasattr(head, 'integral') and hasattr(head, 'reg_max')):
            kind = type(detector if head is None else head).__name__
            raise UserError(
                f"{type(self.loss).__name__} finds no distributions of edges in the {role}'s "
                f'{kind}: it needs a GFLHead or a head derived from it'
            )

    @property
    def needs_logits(self) -> bool:
        return True

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        head = student.bbox_head
        output = DistributionOutput([])

        def note_predictions(call: int, predictions: Sequence[Sequence[Tensor]]) -> None:
            output.logits.extend(predictions[0])
            output.tensors.extend(predictions[1])

        with Recorder() as recorder:
            recorder.on_output(head, note_predictions)
            recorder.on_output(
                head, lambda call, targets: output.labels.extend(targets[1]), 'get_targets'
            )
            yield output
        if not len(output.labels) == len(output.tensors) > 0:
            raise UserError(
                f"{type(self.loss).__name__}: the student's {type(head).__name__} predicted "
                f'{len(output.tensors)} levels and assigned {len(output.labels)} in a training '
                'pass, expected the same number'
            )

    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: Any,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        loss = type(self.loss).__name__
        rows: list[list[Tensor]] = []
        levels = zip(
            student_tensors,
            teacher_output.run_head()[1],
            student_output.logits,
            student_output.labels,
            strict=True,
        )
        for student, teacher, logits, labels in levels:
            if student.shape[1] != teacher.shape[1]:
                raise UserError(
                    f'{loss}: the student predicts {student.shape[1] // 4} places for an edge, the '
                    f'teacher {teacher.shape[1] // 4}: both need the same reg_max'
                )
            teacher = cut_level(teacher, teacher_output, student, batch, loss)
            classes = logits.shape[1]
            labels = labels.reshape(-1)
            on_object = (labels >= 0) & (labels < classes)
            student, teacher, logits = (
                level.permute(0, 2, 3, 1).flatten(0, 2)[on_object]
                for level in (student, teacher, logits)
            )
            rows.append([student, teacher, logits.detach().float().sigmoid().amax(1)])
        student, teacher, weights = (torch.cat(parts) for parts in zip(*rows))
        return self.loss(student.unflatten(1, (4, -1)), teacher.unflatten(1, (4, -1)), weights)

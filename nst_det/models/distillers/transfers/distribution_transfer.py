"""A transfer between the distributions that GFL predicts for the edges of boxes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmdet.models.task_modules.assigners import ATSSAssigner
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import image_mask
from nst_det.models.distillers.taps.recorder import Recorder
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.distillers.transfers.dense_levels import check_levels, cut_level
from nst_det.models.distillers.transfers.valuable_region import valuable_region
from nst_det.models.losses import LDLoss

DISTRIBUTIONS = 'distributions'


@dataclass(frozen=True)
class DistributionOutput(StudentOutput):
    """The student's distributions with its class logits and the targets of its assigner.

    Args:
        logits (list[Tensor]): The class logits of each level, `(N, K, H, W)`.
        labels (list[Tensor]): The class of each position of each level, `(N, H·W)`; K or more, or
            negative, if it is on no object.
        anchors (list[Tensor]): The anchor of each position of each level, `(N, H·W, 4)`.
        counts (list[Tensor]): Whether that anchor is inside the image, `(N, H·W)`, bool.
        topk (int): The number of anchors of a level that the assigner considers for an object.
    """

    logits: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    anchors: list[Tensor] = field(default_factory=list)
    counts: list[Tensor] = field(default_factory=list)
    topk: int = 0


class DistributionTransfer(Transfer):
    """A transfer that makes the student as sure of the edges of boxes as the teacher is.

    Args:
        loss (LDLoss): Takes the distributions of student and teacher and the weights of the
            positions in two regions, gives a scalar.
        name (str): The key of the loss in the loss dict.
    """

    loss: LDLoss

    def __init__(self, loss: LDLoss, name: str) -> None:
        super().__init__(loss, name, DISTRIBUTIONS)

    def check_student(self, detector: nn.Module) -> None:
        self._check(detector, 'student')
        assigner = getattr(detector.bbox_head, 'assigner', None)
        if self.loss.vlr_weight and not isinstance(assigner, ATSSAssigner):
            raise UserError(
                f"{type(self.loss).__name__}: the student's assigner is {type(assigner).__name__}, "
                'but the valuable localization region needs an ATSSAssigner: set vlr_weight=0 to '
                'leave that region out'
            )

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
        output = DistributionOutput([], topk=head.assigner.topk if self.loss.vlr_weight else 0)

        def note_predictions(call: int, predictions: Sequence[Sequence[Tensor]]) -> None:
            output.logits.extend(predictions[0])
            output.tensors.extend(predictions[1])

        def note_targets(call: int, targets: Sequence[Any]) -> None:
            anchors, labels, label_weights = targets[:3]
            output.anchors.extend(anchors)
            output.labels.extend(labels)
            output.counts.extend(weights > 0 for weights in label_weights)

        with Recorder() as recorder:
            recorder.on_output(head, note_predictions)
            recorder.on_output(head, note_targets, 'get_targets')
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
        teacher_levels = teacher_output.run_head()[1]
        check_levels(len(student_tensors), len(teacher_levels), loss)
        levels = zip(
            student_tensors,
            teacher_levels,
            student_output.logits,
            student_output.labels,
            self._valuable_levels(student_output, batch),
            strict=True,
        )
        for student, teacher, logits, labels, valuable in levels:
            if student.shape[1] != teacher.shape[1]:
                raise UserError(
                    f'{loss}: the student predicts {student.shape[1] // 4} places for an edge, the '
                    f'teacher {teacher.shape[1] // 4}: both need the same reg_max'
                )
            teacher = cut_level(teacher, teacher_output, student, batch, loss)
            on_object = ((labels >= 0) & (labels < logits.shape[1])).reshape(-1)
            inside = image_mask(batch.image_sizes, batch.batch_input_shape, student)
            if inside is not None:  # the assigner counts a part of the padding as image
                valuable = valuable * inside.flatten(1)
            valuable = valuable.reshape(-1)
            needed = on_object | (valuable > 0)
            student, teacher, logits = (
                level.permute(0, 2, 3, 1).flatten(0, 2)[needed]
                for level in (student, teacher, logits)
            )
            weights = on_object[needed] * logits.detach().float().sigmoid().amax(1)
            rows.append([student, teacher, weights, valuable[needed]])
        student, teacher, weights, valuable = (torch.cat(parts) for parts in zip(*rows))
        edges = (places.unflatten(1, (4, -1)) for places in (student, teacher))
        return self.loss(*edges, weights, valuable)

    def _valuable_levels(self, output: DistributionOutput, batch: Batch) -> list[Tensor]:
        """The weight of each position in the valuable localization region, level by level."""
        if not self.loss.vlr_weight or batch.boxes is None:
            return [anchors.new_zeros(anchors.shape[:2]) for anchors in output.anchors]
        anchors, counts = zip(*output.anchors), zip(*output.counts)
        images = [
            valuable_region(*image, topk=output.topk)
            for image in zip(anchors, counts, batch.boxes, strict=True)
        ]
        sizes = [level.shape[1] for level in output.anchors]
        return list(torch.stack(images).split(sizes, dim=1))

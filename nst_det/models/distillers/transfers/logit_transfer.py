"""A transfer between the class logits of the student and of the teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import image_mask
from nst_det.models.distillers.taps.logits import Logits, find_logits, has_queries
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.distillers.transfers.dense_levels import check_levels, cut_level, level_rows
from nst_det.models.losses import TransferLoss, object_chance

LOGITS = 'logits'
KINDS = dict(region='a two-stage detector', position='a one-stage detector', image='a classifier')


class LogitTransfer(Transfer):
    """A transfer that makes the student classify as the teacher does.

    In two-stage detectors the RoI head of the teacher classifies the regions that the student
    sampled. In one-stage detectors the dense heads of both classify the same positions. Classifiers
    classify the same images.

    Args:
        loss (TransferLoss): A loss that compares logits: takes those of student and teacher, gives
            a scalar.
        name (str): The key of the loss in the loss dict.
    """

    def __init__(self, loss: TransferLoss, name: str) -> None:
        super().__init__(loss, name, LOGITS)
        self.of_student: Logits | None = None
        self.anchors_checked = False

    def check_student(self, detector: nn.Module) -> None:
        self._check(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        self._check(detector, 'teacher')

    def _check(self, detector: nn.Module, role: str) -> None:
        if has_queries(detector):
            raise UserError(
                f"KDLoss finds no class logits of regions or positions in the {role}'s "
                f'{type(detector).__name__}, which classifies queries: choose MatchedQueryLoss'
            )
        find_logits(detector, role)

    @property
    def needs_logits(self) -> bool:
        return True

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        self.of_student = find_logits(student, 'student')
        with self.of_student.record() as (logits, rois):
            yield StudentOutput(logits, rois)

    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        assert self.of_student is not None  # record() found them
        classified = self.of_student.classified
        if classified != teacher_output.logits.classified:
            raise UserError(
                f'KDLoss cannot compare {KINDS[classified]} as student and '
                f'{KINDS[teacher_output.logits.classified]} as teacher: both need a RoI head, '
                'neither, or both classify images'
            )
        if classified != 'image':  # those of detectors differ in the column of the background
            _check_sigmoid(self.of_student.sigmoid, teacher_output.logits.sigmoid)
        if classified == 'position':
            return self._compare_positions(self.of_student, student_tensors, batch, teacher_output)
        # A classifier is compared as a detector whose one region is the image.
        regions = [] if student_output.rois is None else [student_output.rois]
        return self._compare_rows(student_tensors, regions, teacher_output)

    def _compare_rows(
        self,
        student_logits: Sequence[Tensor],
        regions: Sequence[Sequence[Tensor]],
        teacher_output: TeacherOutput,
    ) -> Tensor:
        """Average the loss of the regions, or of the images, over the stages."""
        classified = teacher_output.logits.classified
        teacher_logits = teacher_output.compute_logits(*regions)
        if len(teacher_logits) != len(student_logits):
            raise UserError(
                f'KDLoss: the student classifies in {len(student_logits)} stages, the teacher in '
                f'{len(teacher_logits)}: both need to be cascades of the same length, or neither'
            )
        losses = []
        for student, teacher in zip(student_logits, teacher_logits):
            _check_classes(student.shape[1], teacher.shape[1], classified)
            losses.append(self.loss(student, teacher, teacher_output.logits.sigmoid))
        return torch.stack(losses).mean()

    def _compare_positions(
        self,
        of_student: Any,
        student_logits: Sequence[Tensor],
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        """Compute the loss over the positions of all levels that lie inside the images."""
        of_teacher: Any = teacher_output.logits
        sigmoid, classes = of_teacher.sigmoid, of_teacher.channels
        teacher_logits = teacher_output.compute_logits()
        check_levels(len(student_logits), len(teacher_logits), 'KDLoss')
        _check_classes(of_student.channels, classes, 'anchor')
        for student, teacher in zip(student_logits, teacher_logits):
            _check_classes(student.shape[1], teacher.shape[1], 'position')
        if not self.anchors_checked:  # once, because it waits for a GPU and anchors do not change
            _check_anchors(of_student.head, of_teacher.head)
            self.anchors_checked = True
        rows = []
        for student, teacher in zip(student_logits, teacher_logits):
            teacher = cut_level(teacher, teacher_output, student, batch, 'KDLoss')
            mask = image_mask(batch.image_sizes, batch.batch_input_shape, student)
            rows.append([level_rows(logits, classes, mask) for logits in (student, teacher)])
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
    objects = object_chance(logits, sigmoid).sum()
    all_reduce(objects)
    return objects.clamp(min=1) / get_world_size()


def _check_sigmoid(student: bool, teacher: bool) -> None:
    if student != teacher:
        kinds = ('a softmax with background', 'a sigmoid per class')
        raise UserError(
            f'KDLoss: the student classifies by {kinds[student]}, the teacher by {kinds[teacher]}: '
            'both need the same; NSTLoss does not'
        )


def _check_anchors(student: nn.Module, teacher: nn.Module) -> None:
    """Check that several anchors at a position, which are compared in their order, are the same."""
    levels = (
        getattr(getattr(head, 'prior_generator', None), 'base_anchors', ())
        for head in (student, teacher)
    )
    for of_student, of_teacher in zip(*levels):
        if len(of_student) > 1 and not torch.allclose(of_student, of_teacher.to(of_student)):
            raise UserError(
                'KDLoss: the anchors at a position of the student have other sizes than those of '
                'the teacher: both need the same anchors; NSTLoss does not'
            )


def _check_classes(student: int, teacher: int, classified: str) -> None:
    if student != teacher:
        anchors = ' and as many anchors per position' if classified == 'position' else ''
        raise UserError(
            f'KDLoss: the student gives {student} logits per {classified}, the teacher {teacher}: '
            f'both need the same classes{anchors}; NSTLoss does not'
        )

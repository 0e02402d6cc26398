"""A transfer between the teacher's predictions and those of its head from student features."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from mmdet.models.dense_heads import ATSSHead, FCOSHead, GFLHead, RetinaHead, VFNetHead
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.geometry import image_mask
from nst_det.models.distillers.taps.recorder import Recorder
from nst_det.models.distillers.teacher.output import TeacherOutput
from nst_det.models.distillers.transfers.base import Batch, StudentOutput, Transfer
from nst_det.models.distillers.transfers.dense_levels import check_levels, cut_level, level_rows
from nst_det.models.distillers.transfers.logit_transfer import expected_objects
from nst_det.models.losses import CrossKDLoss

HEAD = 'head'
BRANCHES = ('cls_convs', 'reg_convs')


class CrossHeadTransfer(Transfer):
    """A transfer that leads features of the student's head through the rest of the teacher's.

    Args:
        loss (CrossKDLoss): Takes the logits and boxes of the cross-head predictions and of the
            teacher, gives a scalar.
        name (str): The key of the loss in the loss dict.
    """

    loss: CrossKDLoss

    def __init__(self, loss: CrossKDLoss, name: str) -> None:
        super().__init__(loss, name, HEAD)

    def check_student(self, detector: nn.Module) -> None:
        self._check(detector, 'student')

    def check_teacher(self, detector: nn.Module) -> None:
        self._check(detector, 'teacher')

    def _check(self, detector: nn.Module, role: str) -> None:
        head = getattr(detector, 'bbox_head', None)
        kind = type(detector if head is None else head).__name__
        loss = type(self.loss).__name__
        supported = isinstance(head, (RetinaHead, ATSSHead, GFLHead, FCOSHead))
        if (
            not (supported and _has_two_branches(head))
            or isinstance(head, VFNetHead)
            or not head.use_sigmoid_cls
        ):
            raise UserError(
                f"{loss} cannot lead features through the {role}'s {kind}: it supports "
                'RetinaHead, FCOSHead, ATSSHead, GFLHead and heads derived from them, with a '
                'sigmoid per class and the same two branches of convolutions for all levels'
            )
        for branch in BRANCHES:
            count = len(getattr(head, branch))
            if count < self.loss.stage:
                raise UserError(
                    f"{loss}: stage is {self.loss.stage}, but the {branch} of the {role}'s {kind} "
                    f'are {count} convolutions: choose a stage from 1 to {count}'
                )

    @property
    def needs_logits(self) -> bool:
        return True

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[StudentOutput]:
        classes: list[Tensor] = []
        boxes: list[Tensor] = []
        output = StudentOutput([])
        with Recorder() as recorder:
            for branch, levels in zip(BRANCHES, (classes, boxes)):
                conv = getattr(student.bbox_head, branch)[self.loss.stage - 1]
                recorder.on_output(conv, partial(_append, levels))
            yield output
        output.tensors.extend(classes + boxes)

    def compare(
        self,
        student_tensors: Sequence[Tensor],
        student_output: StudentOutput,
        batch: Batch,
        teacher_output: TeacherOutput,
    ) -> Tensor:
        head = teacher_output.logits.head
        loss = type(self.loss).__name__
        levels = len(student_tensors) // 2
        features = student_tensors[:levels], student_tensors[levels:]
        own_levels = teacher_output.run_head()
        check_levels(levels, len(own_levels[0]), loss)
        with teacher_output.precision_context():
            cross_levels = self._run_rest(head, features)
        own: list[tuple[Tensor, Tensor]] = []
        cross: list[tuple[Tensor, Tensor]] = []
        for i in range(levels):
            logits, boxes = cross_levels[0][i], cross_levels[1][i]
            own_logits, own_boxes = (
                cut_level(own_levels[kind][i], teacher_output, logits, batch, loss)
                for kind in (0, 1)
            )
            mask = image_mask(batch.image_sizes, batch.batch_input_shape, logits)
            for rows, predictions in ((cross, (logits, boxes)), (own, (own_logits, own_boxes))):
                rows.append(_rows(head, *predictions, mask, i))
        student, student_boxes = (torch.cat(level) for level in zip(*cross))
        teacher, teacher_boxes = (torch.cat(level) for level in zip(*own))
        objects = expected_objects(teacher, sigmoid=True)
        return self.loss(student, teacher, student_boxes, teacher_boxes, objects)

    def _run_rest(
        self, head: nn.Module, features: Sequence[Sequence[Tensor]]
    ) -> Sequence[Sequence[Tensor]]:
        """Run the teacher's head from a stage on, with the features of both branches."""
        with ExitStack() as stack:
            for branch, levels in zip(BRANCHES, features):
                convs = list(getattr(head, branch))
                for conv in convs[: self.loss.stage]:
                    stack.enter_context(_replaced_forward(conv, levels))
                channels = convs[self.loss.stage - 1].out_channels
                if levels[0].shape[1] != channels:
                    raise UserError(
                        f"{type(self.loss).__name__}: the student's {branch} have "
                        f"{levels[0].shape[1]} channels, the teacher's {channels}: both need the "
                        'same feat_channels'
                    )
            return head(features[0])


def _has_two_branches(head: nn.Module) -> bool:
    """Whether each branch is one sequence of convolutions, unlike in TOOD and RTMDet."""
    return all(
        hasattr(conv, 'out_channels') for name in BRANCHES for conv in getattr(head, name, [None])
    )


def _append(levels: list[Tensor], call: int, level: Tensor) -> None:
    levels.append(level)


@contextmanager
def _replaced_forward(module: nn.Module, levels: Sequence[Tensor]) -> Iterator[None]:
    """Let each call of a module return the next of the given tensors, whatever it takes."""
    following = iter(levels)
    original = vars(module).get('forward')
    module.forward = lambda *inputs, **options: next(following)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward
        if original is not None:
            module.forward = original  # type: ignore[method-assign]


def _rows(
    head: nn.Module, logits: Tensor, boxes: Tensor, mask: Tensor | None, level: int
) -> tuple[Tensor, Tensor]:
    """The logits `(R, K)` of a level with its boxes `(R, 4)`, or with their edges `(R, 4, P)`."""
    classes = level_rows(logits, head.cls_out_channels, mask)
    if isinstance(head, GFLHead):
        return classes, level_rows(boxes, boxes.shape[1], mask).unflatten(1, (4, -1))
    size = logits.shape[2:]
    priors = head.prior_generator.single_level_grid_priors(
        size, level, dtype=boxes.dtype, device=boxes.device
    )
    # As the rows: anchor by anchor, then the positions row by row; the generator's run otherwise.
    anchors = len(priors) // (size[0] * size[1])
    priors = priors.unflatten(0, (-1, anchors)).transpose(0, 1).flatten(0, 1)
    deltas = level_rows(boxes, 4, mask)
    priors = priors.repeat(len(logits), 1)
    if mask is not None:
        priors = priors[mask.expand(-1, anchors, -1, -1).flatten()]
    return classes, head.bbox_coder.decode(priors, deltas)

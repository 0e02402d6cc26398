"""The class scores of a detector's head, before their softmax or sigmoid."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from nst_det.errors import UserError


class RoILogits:
    """The classification of a two-stage detector's regions, stage by stage.

    Args:
        detector (nn.Module): The detector.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Raises:
        UserError: Where its RoI head has no such classification.
    """

    dense = False

    def __init__(self, detector: nn.Module, role: str) -> None:
        self.head = detector.roi_head
        self.where = f"the {role}'s {type(self.head).__name__}"
        forward = getattr(self.head, '_bbox_forward', None)
        options = list(inspect.signature(forward).parameters) if forward else None
        if options not in (['x', 'rois'], ['stage', 'x', 'rois']):
            raise UserError(
                f'KDLoss does not know how {self.where} classifies a region: it takes those of '
                'Faster, Mask, Cascade R-CNN and their like'
            )
        self.cascaded = options[0] == 'stage'
        self.heads = list(self.head.bbox_head) if self.cascaded else [self.head.bbox_head]
        extractors = self.head.bbox_roi_extractor
        self.extractors = list(extractors) if self.cascaded else [extractors]
        for head in self.heads:
            if getattr(head, 'custom_cls_channels', False):
                raise UserError(
                    f'KDLoss: the class scores of {self.where} are no softmax or sigmoid over the '
                    f'classes ({type(head.loss_cls).__name__})'
                )
        self.sigmoid = bool(getattr(self.heads[0].loss_cls, 'use_sigmoid', False))
        self.stages = len(self.heads)

    @contextmanager
    def record(self) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Record the regions and their scores of the training pass inside the ``with`` block.

        Yields:
            tuple[list[Tensor], list[Tensor]]: Per stage its scores `(R, K)` and regions `(R, 5)`.

        Raises:
            UserError: Where the head classified nothing.
        """
        scores: list[Tensor] = []
        rois: list[Tensor] = []
        # Where one extractor serves more than the classification, that comes first in its stage.
        handles = [
            extractor.register_forward_pre_hook(
                lambda module, args, stage=i: rois.append(args[1]) if len(rois) == stage else None
            )
            for i, extractor in enumerate(self.extractors)
        ]
        handles += [
            head.register_forward_hook(lambda module, args, output: scores.append(output[0]))
            for head in self.heads
        ]
        try:
            yield scores, rois
        finally:
            for handle in handles:
                handle.remove()
        if len(scores) != self.stages or len(rois) != self.stages:
            raise UserError(
                f'KDLoss: {self.where} classified regions {len(scores)} times in a training pass, '
                f'expected {self.stages}'
            )

    def compute(self, features: Sequence[Tensor], rois: Sequence[Tensor]) -> list[Tensor]:
        """Classify given regions.

        Args:
            features (Sequence[Tensor]): What the detector's ``extract_feat`` gave.
            rois (Sequence[Tensor]): The regions of each stage, `(R, 5)`.

        Returns:
            list[Tensor]: The scores of each stage, `(R, K)`.
        """
        stages = [(i,) for i in range(len(self.heads))] if self.cascaded else [()]
        return [
            self.head._bbox_forward(*stage, features, regions)['cls_score']
            for stage, regions in zip(stages, rois)
        ]


class DenseLogits:
    """The classification of a one-stage detector at every position.

    Args:
        detector (nn.Module): The detector.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Raises:
        UserError: Where its head has no class scores of that kind.
    """

    dense = True

    def __init__(self, detector: nn.Module, role: str) -> None:
        self.head = getattr(detector, 'bbox_head', None)
        kind = type(self.head if self.head is not None else detector).__name__
        self.where = f"the {role}'s {kind}"
        self.channels = getattr(self.head, 'cls_out_channels', None)
        if self.channels is None or not hasattr(self.head, 'use_sigmoid_cls'):
            raise UserError(
                f'KDLoss finds no class scores in {self.where}: it takes a RoI head, or a dense '
                'head with one score per class and position, such as RetinaHead, FCOSHead, '
                'ATSSHead, GFLHead, RTMDetHead or YOLOXHead'
            )
        if getattr(self.head.loss_cls, 'activated', False):
            raise UserError(
                f'KDLoss: {self.where} gives probabilities, not scores to be softened '
                f'({type(self.head.loss_cls).__name__} with activated=True)'
            )
        self.sigmoid = bool(self.head.use_sigmoid_cls)

    @contextmanager
    def record(self) -> Iterator[tuple[list[Tensor], None]]:
        """Record the scores of the training pass inside the ``with`` block.

        Yields:
            tuple[list[Tensor], None]: Per level its scores, `(N, A·K, H, W)`.

        Raises:
            UserError: Where the head gave none.
        """
        scores: list[Tensor] = []
        handle = self.head.register_forward_hook(
            lambda module, args, output: scores.extend(self._levels(output))
        )
        try:
            yield scores, None
        finally:
            handle.remove()
        if not scores:
            raise UserError(f'KDLoss: {self.where} did not run in a training pass')

    def compute(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Classify every position.

        Args:
            features (Sequence[Tensor]): What the detector's ``extract_feat`` gave.

        Returns:
            list[Tensor]: The scores of each level, `(N, A·K, H, W)`.
        """
        return self._levels(self.head(features))

    def _levels(self, output: object) -> list[Tensor]:
        levels = output[0] if isinstance(output, (tuple, list)) else None
        if not isinstance(levels, (tuple, list)) or not all(
            isinstance(level, Tensor) and level.ndim == 4 and level.shape[1] % self.channels == 0
            for level in levels
        ):
            raise UserError(
                f'KDLoss: {self.where} does not give its class scores as one map '
                f'(N, anchors · {self.channels}, H, W) per level'
            )
        return list(levels)


def find_logits(detector: nn.Module, role: str) -> RoILogits | DenseLogits:
    """Find what classifies in a detector.

    Args:
        detector (nn.Module): The detector.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Raises:
        UserError: Where nothing in it does, in a way that is known.
    """
    kind = RoILogits if getattr(detector, 'roi_head', None) is not None else DenseLogits
    return kind(detector, role)

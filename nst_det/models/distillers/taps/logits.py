"""The class logits of a head: its class scores before softmax or sigmoid."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmdet.models.dense_heads import DETRHead
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.classifier import ImageLogits, is_classifier
from nst_det.models.distillers.taps.recorder import Note, Recorder


class RoILogits:
    """The class logits of the regions of a two-stage detector, stage by stage.

    Args:
        detector (nn.Module): The detector.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Attributes:
        classified (str): What is classified: ``'region'``.
        sigmoid (bool): Whether the loss takes a sigmoid per class, instead of a softmax.
        stages (int): Number of stages: 1, or more in a cascade.

    Raises:
        UserError: If the RoI head does not classify in a supported way.
    """

    classified = 'region'

    def __init__(self, detector: nn.Module, role: str) -> None:
        self.detector = detector
        self.head = detector.roi_head
        self.where = f"the {role}'s {type(self.head).__name__}"
        forward = getattr(self.head, '_bbox_forward', None)
        parameters = list(inspect.signature(forward).parameters) if forward else None
        if parameters not in (['x', 'rois'], ['stage', 'x', 'rois']):
            raise UserError(
                f'KDLoss does not know how {self.where} classifies a region: it supports the RoI '
                'heads of Faster, Mask and Cascade R-CNN and heads derived from them'
            )
        self.cascaded = parameters[0] == 'stage'
        self.heads = list(self.head.bbox_head) if self.cascaded else [self.head.bbox_head]
        extractors = self.head.bbox_roi_extractor
        self.extractors = list(extractors) if self.cascaded else [extractors]
        for head in self.heads:
            if getattr(head, 'custom_cls_channels', False):
                raise UserError(
                    f'KDLoss: the logits of {self.where} are not for a softmax or sigmoid over the '
                    f'classes ({type(head.loss_cls).__name__})'
                )
        self.sigmoid = bool(getattr(self.heads[0].loss_cls, 'use_sigmoid', False))
        self.stages = len(self.heads)

    @contextmanager
    def record(self) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Record regions and logits of the training pass inside the ``with`` block.

        Yields:
            tuple[list[Tensor], list[Tensor]]: The logits `(R, K)` and the regions `(R, 5)` of each
            stage. A region is an image index and two corners.

        Raises:
            UserError: If the head did not classify once per stage.
        """
        logits: list[Tensor] = []
        rois: list[Tensor] = []
        with Recorder() as recorder:
            for extractor in self.extractors:
                # If an extractor serves masks as well, its first call is for the classification.
                recorder.on_input(
                    extractor,
                    lambda call, inputs: rois.append(inputs[1]) if call == 0 else None,
                )
            for head in self.heads:
                recorder.on_output(head, lambda call, output: logits.append(output[0]))
            yield logits, rois
        if len(logits) != self.stages or len(rois) != self.stages:
            raise UserError(
                f'KDLoss: {self.where} classified regions {len(logits)} times in a training pass, '
                f'expected {self.stages}'
            )

    def record_head_inputs(self, recorder: Recorder, note: Note) -> None:
        """Note what the heads take: what ``extract_feat`` of the detector returns."""
        recorder.on_output(self.detector, note, 'extract_feat')

    def compute(self, head_inputs: Sequence[Tensor], rois: Sequence[Tensor]) -> list[Tensor]:
        """Compute the logits of given regions.

        Args:
            head_inputs (Sequence[Tensor]): What ``extract_feat`` of the detector returned.
            rois (Sequence[Tensor]): The regions of each stage, `(R, 5)`.

        Returns:
            list[Tensor]: The logits of each stage, `(R, K)`.
        """
        stages = [(i,) for i in range(self.stages)] if self.cascaded else [()]
        return [
            self.head._bbox_forward(*stage, head_inputs, regions)['cls_score']
            for stage, regions in zip(stages, rois)
        ]


class DenseLogits:
    """The class logits of a one-stage detector at every position.

    Args:
        detector (nn.Module): The detector.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Attributes:
        classified (str): What is classified: ``'position'``, every one.
        sigmoid (bool): Whether the loss takes a sigmoid per class, instead of a softmax.
        channels (int): K, the number of logits per anchor.

    Raises:
        UserError: If the head has no such logits.
    """

    classified = 'position'

    def __init__(self, detector: nn.Module, role: str) -> None:
        self.detector = detector
        self.head = getattr(detector, 'bbox_head', None)
        kind = type(self.head if self.head is not None else detector).__name__
        self.where = f"the {role}'s {kind}"
        self.channels = getattr(self.head, 'cls_out_channels', None)
        if self.channels is None or not hasattr(self.head, 'use_sigmoid_cls'):
            raise UserError(
                f'KDLoss finds no class logits in {self.where}: it needs a RoI head, or a dense '
                'head with one logit per class and position, such as RetinaHead, FCOSHead, '
                'ATSSHead, GFLHead, RTMDetHead or YOLOXHead'
            )
        loss_cls = getattr(self.head, 'loss_cls', None)  # SSDHead has none
        if getattr(loss_cls, 'activated', False):
            raise UserError(
                f'KDLoss: {self.where} gives probabilities, expected logits '
                f'({type(loss_cls).__name__} with activated=True)'
            )
        self.sigmoid = bool(self.head.use_sigmoid_cls)

    @contextmanager
    def record(self) -> Iterator[tuple[list[Tensor], None]]:
        """Record the logits of the training pass inside the ``with`` block.

        Yields:
            tuple[list[Tensor], None]: The logits of each level, `(N, A·K, H, W)`.

        Raises:
            UserError: If the head did not run.
        """
        logits: list[Tensor] = []
        with Recorder() as recorder:
            recorder.on_output(self.head, lambda call, output: logits.extend(self._levels(output)))
            yield logits, None
        if not logits:
            raise UserError(f'KDLoss: {self.where} did not run in a training pass')

    def record_head_inputs(self, recorder: Recorder, note: Note) -> None:
        """Note what the heads take: what ``extract_feat`` of the detector returns."""
        recorder.on_output(self.detector, note, 'extract_feat')

    def compute(self, head_inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute the logits of every position.

        Args:
            head_inputs (Sequence[Tensor]): What ``extract_feat`` of the detector returned.

        Returns:
            list[Tensor]: The logits of each level, `(N, A·K, H, W)`.
        """
        return self._levels(self.head(head_inputs))

    def _levels(self, output: object) -> list[Tensor]:
        levels = output[0] if isinstance(output, (tuple, list)) else None
        if not isinstance(levels, (tuple, list)) or not all(
            isinstance(level, Tensor) and level.ndim == 4 and level.shape[1] % self.channels == 0
            for level in levels
        ):
            raise UserError(
                f'KDLoss: {self.where} does not give its logits as one tensor '
                f'(N, anchors · {self.channels}, H, W) per level'
            )
        return list(levels)


class QueryLogits:
    """The class logits and the boxes of the queries of a detector of the DETR family.

    Args:
        detector (nn.Module): The detector.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Attributes:
        classified (str): What is classified: ``'query'``.
        sigmoid (bool): Whether the loss takes a sigmoid per class, instead of a softmax.

    Raises:
        UserError: If the detector has no such queries.
    """

    classified = 'query'

    def __init__(self, detector: nn.Module, role: str) -> None:
        self.detector = detector
        self.head = getattr(detector, 'bbox_head', None)
        self.where = f"the {role}'s {type(detector).__name__}"
        if not has_queries(detector) or hasattr(self.head, 'aux_loss_for_dense'):
            raise UserError(
                f'MatchedQueryLoss finds no queries in {self.where}: it needs DETR, Conditional '
                'DETR, DAB-DETR, Deformable DETR, DINO or a detector derived from them'
            )
        self.sigmoid = bool(self.head.loss_cls.use_sigmoid)

    @contextmanager
    def record(self) -> Iterator[tuple[list[Tensor], None]]:
        """Record the predictions of the training pass inside the ``with`` block.

        Yields:
            tuple[list[Tensor], None]: The logits and the boxes of all decoder layers and queries,
            `(L, N, Q, K)` and `(L, N, Q, 4)`: see :meth:`last_layer`.

        Raises:
            UserError: If the head did not run.
        """
        predictions: list[Tensor] = []
        with Recorder() as recorder:
            recorder.on_output(self.head, lambda call, output: predictions.extend(output[:2]))
            yield predictions, None
        if len(predictions) != 2:
            raise UserError(
                f'MatchedQueryLoss: the head of {self.where} ran {len(predictions) // 2} times in '
                'a training pass, expected once'
            )

    def last_layer(self, predictions: Sequence[Tensor]) -> list[Tensor]:
        """Pick the last decoder layer, and the queries that are not for denoising.

        Args:
            predictions (Sequence[Tensor]): What the head returns: `(L, N, Q, K)`, `(L, N, Q, 4)`.

        Returns:
            list[Tensor]: `(N, Q, K)` and `(N, Q, 4)`.
        """
        return [layers[-1][:, -self.detector.num_queries :] for layers in predictions[:2]]

    def record_head_inputs(self, recorder: Recorder, note: Note) -> None:
        """Note the predictions of the last decoder layer, in place of what the heads take."""
        recorder.on_output(
            self.head, lambda call, predictions: note(call, self.last_layer(predictions))
        )

    def compute(self, head_inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the recorded predictions.

        Args:
            head_inputs (Sequence[Tensor]): What :meth:`record_head_inputs` noted.

        Returns:
            list[Tensor]: The logits `(N, Q, K)` and the boxes `(N, Q, 4)`.
        """
        return list(head_inputs)


Logits = RoILogits | DenseLogits | QueryLogits | ImageLogits


def has_queries(detector: nn.Module) -> bool:
    """Whether a detector is of the DETR family.

    Args:
        detector (nn.Module): The detector.
    """
    return isinstance(getattr(detector, 'bbox_head', None), DETRHead)


def find_logits(detector: nn.Module, role: str) -> Logits:
    """Find the class logits of a detector, or of a classifier.

    Args:
        detector (nn.Module): The detector or classifier.
        role (str): ``'student'`` or ``'teacher'``, for the errors.

    Raises:
        UserError: If the detector has none, or in an unknown form.
    """
    if is_classifier(detector):
        return ImageLogits(detector, role)
    if has_queries(detector):
        return QueryLogits(detector, role)
    kind = RoILogits if getattr(detector, 'roi_head', None) is not None else DenseLogits
    return kind(detector, role)

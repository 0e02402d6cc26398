"""A detector as a module that ONNX can record: from images of any size to detections.

Its own prediction reads numbers from tensors, loops over the images of a batch and branches for
empty results, and a recorded graph would keep what these were for one image. So the prediction is
written anew here, for a batch and in tensors alone. A detector whose methods are not those that
were rewritten is refused.
"""

import copy
from collections.abc import Callable
from math import inf

import torch.nn.functional as F
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.dense_heads import (
    DeformableDETRHead,
    DETRHead,
    GFLHead,
    RPNHead,
    RTMDetInsHead,
    YOLOXHead,
)
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.models.detectors.single_stage import SingleStageDetector
from mmdet.models.detectors.two_stage import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, FCNMaskHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.export.compare import Limits
from nst_det.export.dense import DensePrediction, YOLOXPrediction
from nst_det.export.operators import ANY_NUMBER, rows, size
from nst_det.export.transformer import TransformerPrediction
from nst_det.export.two_stage import TwoStagePrediction
from nst_det.models.backbones.inception_bn.blocks import MaxPool
from nst_det.models.distillers.taps.dummy_batch import image_channels
from nst_det.runtime.model_info import BOX_MASKS, IMAGE_MASKS

# A rewrite stands for these methods of these classes, and for no others.
DENSE_METHODS = (
    'predict',
    'predict_by_feat',
    '_predict_by_feat_single',
    '_bbox_post_process',
    '_bbox_mask_post_process',
    '_mask_predict_by_feat_single',
)
DENSE = {
    BaseDenseHead: DensePrediction,
    GFLHead: DensePrediction,
    RTMDetInsHead: DensePrediction,
    YOLOXHead: YOLOXPrediction,
}
ROI_METHODS = ('predict', 'predict_bbox', 'predict_mask', '_bbox_forward', '_mask_forward')
BOX_METHODS = ('predict_by_feat', '_predict_by_feat_single', 'regress_by_class')
MASK_METHODS = ('predict_by_feat', '_predict_by_feat_single')


class DetectorGraph(nn.Module):
    """A detector that takes images and gives detections, in operations that ONNX has.

    Args:
        detector (nn.Module): The detector, in evaluation mode. A copy of it is kept.

    Raises:
        UserError: If it cannot be exported: the error tells why.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        detector = copy.deepcopy(detector).cpu().eval()
        _check_parts(detector)
        _replace_pools(detector)
        self.detector = detector
        self.proposals: DensePrediction | None = None
        self.prediction: nn.Module
        if _same(detector, ('predict',), DetectionTransformer):
            if not any(
                _same(detector.bbox_head, DENSE_METHODS, cls)
                for cls in (DETRHead, DeformableDETRHead)
            ):
                raise UserError(_unknown(detector.bbox_head))
            self.prediction = TransformerPrediction(detector)
        elif _same(detector, ('predict',), SingleStageDetector):
            self.prediction = _dense(detector.bbox_head)
        elif _same(detector, ('predict',), TwoStageDetector):
            self.proposals, self.prediction = _two_stage(detector)
        else:
            raise UserError(_unknown(detector))
        self.eval()  # the exporter brings back the mode of the whole

    @property
    def channels(self) -> int:
        """int: The number of channels of the images."""
        return image_channels(self.detector)

    @property
    def mask_kind(self) -> str | None:
        """str | None: ``'box'`` or ``'image'``; None if the detector gives no masks."""
        if self.proposals is not None:
            return BOX_MASKS if self.detector.roi_head.with_mask else None
        return IMAGE_MASKS if isinstance(self.detector.bbox_head, RTMDetInsHead) else None

    @property
    def mask_threshold(self) -> float:
        """float: The probability from which on a pixel belongs to an object."""
        head = self.detector.bbox_head if self.proposals is None else self.detector.roi_head
        return head.test_cfg.mask_thr_binary

    @property
    def mask_stride(self) -> int:
        """int: How many pixels of an image a pixel of a mask for the image stands for."""
        if self.mask_kind != IMAGE_MASKS:
            return 1
        return self.detector.bbox_head.prior_generator.strides[0][0]

    @property
    def num_classes(self) -> int:
        """int: The number of classes."""
        if self.proposals is None:
            return self.detector.bbox_head.num_classes
        head = self.detector.roi_head.bbox_head
        return (head[-1] if isinstance(head, nn.ModuleList) else head).num_classes

    @property
    def limits(self) -> Limits:
        """Limits: The score above which a detection is one (-inf for DETR), and how many may be."""
        head = self.detector.bbox_head if self.proposals is None else self.detector.roi_head
        cfg = head.test_cfg or {}
        return Limits(cfg.get('score_thr', -inf), cfg.get('max_per_img', ANY_NUMBER))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detect in a batch of images.

        Args:
            images (Tensor): `(N, C, H, W)`, BGR from 0 to 255, all of one size, without padding.

        Returns:
            tuple[Tensor, ...]: ``boxes`` `(n, 4)` in pixels of these images, ``scores``,
            ``labels`` and ``images`` `(n,)`, and maybe ``masks`` `(n, h, w)`.
        """
        height, width = size(images, 2), size(images, 3)
        features = self.detector.extract_feat(_prepare(images, self.detector.data_preprocessor))
        if self.proposals is None:
            found = self.prediction(features, height, width)
        else:
            regions = self.proposals.candidates(self.proposals.head(features), height, width)
            own, index = self.proposals.best(regions)
            boxes, count = rows(regions['boxes'], own, index), size(images, 0)
            found = self.prediction(features, boxes, own, count, height, width)
        return tuple(part for part in found if part is not None)


def _prepare(images: Tensor, preprocessor: DetDataPreprocessor) -> Tensor:
    """Normalise a batch and pad it, as the preprocessor of the detector does."""
    if preprocessor._channel_conversion:
        images = images.flip(1)
    if preprocessor._enable_normalize:
        images = (images - preprocessor.mean) / preprocessor.std
    divisor = preprocessor.pad_size_divisor
    if divisor > 1:
        bottom, right = (-size(images, dim) % divisor for dim in (2, 3))
        images = F.pad(images, (0, right, 0, bottom), value=float(preprocessor.pad_value))
    return images


def _check_parts(detector: nn.Module) -> None:
    """Refuse what stands in any part of a detector and has no counterpart."""
    preprocessor = detector.data_preprocessor
    if type(preprocessor) is not DetDataPreprocessor or not isinstance(
        getattr(preprocessor, 'pad_size_divisor', None), int
    ):
        raise UserError(
            f'its data_preprocessor is a {type(preprocessor).__name__}, expected a '
            'DetDataPreprocessor'
        )
    for module in detector.modules():
        if isinstance(module, (DeformConv2d, ModulatedDeformConv2d)):
            raise UserError(
                'it has deformable convolutions, for which neither exporter nor runtimes have an '
                'operator'
            )


def _dense(head: nn.Module) -> nn.Module:
    """Choose the rewrite for the head of a one-stage detector."""
    for base, prediction in DENSE.items():
        if _same(head, DENSE_METHODS, base):
            return prediction(head)
    raise UserError(_unknown(head))


def _two_stage(detector: nn.Module) -> tuple[DensePrediction, TwoStagePrediction]:
    """Check both stages of a detector, and choose their rewrites."""
    roi_head = detector.roi_head
    cascade = isinstance(roi_head, CascadeRoIHead)
    if not detector.with_rpn:
        raise UserError('it has no RPN')
    if not _same(detector.rpn_head, DENSE_METHODS, RPNHead):
        raise UserError(_unknown(detector.rpn_head))
    kind = CascadeRoIHead if cascade else StandardRoIHead
    if not _same(roi_head, (*ROI_METHODS, '_refine_roi'), kind):
        raise UserError(_unknown(roi_head))
    for heads, methods, base in (
        (roi_head.bbox_head, BOX_METHODS, BBoxHead),
        (roi_head.mask_head if roi_head.with_mask else [], MASK_METHODS, FCNMaskHead),
    ):
        for head in heads if isinstance(heads, (nn.ModuleList, list)) else [heads]:
            if not _same(head, methods, base):
                raise UserError(_unknown(head))
    return DensePrediction(detector.rpn_head), TwoStagePrediction(roi_head)


def _same(module: nn.Module, methods: tuple[str, ...], base: type) -> bool:
    """Whether a module predicts exactly as a class does, in these methods."""
    return isinstance(module, base) and all(
        getattr(type(module), name, None) is getattr(base, name, None) for name in methods
    )


def _unknown(module: nn.Module) -> str:
    return f'{type(module).__name__} predicts in a way of its own, for which there is no graph'


def _replace_pools(detector: nn.Module) -> None:
    """Have the max pools of Inception-BN pad by tensors, so that a graph takes odd sizes too."""
    for module in detector.modules():
        if isinstance(module, MaxPool):
            module.forward = _pool(module)  # type: ignore[method-assign, assignment]


def _pool(module: MaxPool) -> Callable[[Tensor], Tensor]:
    least = 3 - 2 * module.padding

    def forward(x: Tensor) -> Tensor:
        missing = []
        for dim in (2, 3):
            own = size(x, dim)
            wanted = own + own % 2 if module.pad_odd else own
            missing.append(wanted.clamp(min=least) - own)
        x = F.pad(x, (0, missing[1], 0, missing[0]), value=-inf)
        return nn.MaxPool2d.forward(module, x)

    return forward

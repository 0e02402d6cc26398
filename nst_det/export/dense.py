"""Prediction of one-stage detectors and of the RPN, for a batch, in operations that ONNX has."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import GFLHead, RPNHead, YOLOXHead
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, DistancePointBBoxCoder
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.export.operators import (
    ANY_NUMBER,
    Detections,
    check_nms,
    clip,
    large_enough,
    rows,
    size,
    suppress,
    take,
    top_candidates,
)

CODERS = (DeltaXYWHBBoxCoder, DistancePointBBoxCoder)


class DensePrediction(nn.Module):
    """RetinaNet, ATSS, FCOS, GFL, RTMDet and their like: the best candidates of each level, NMS.

    Args:
        head (nn.Module): The head.

    Raises:
        UserError: If its coder or a value of its ``test_cfg`` has no counterpart.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.cfg = head.test_cfg
        name = type(head).__name__
        if type(head.bbox_coder) not in CODERS:
            raise UserError(f'{name} decodes boxes by {type(head.bbox_coder).__name__}')
        if self.cfg.get('nms_pre', -1) <= 0:
            raise UserError(f'{name} has no nms_pre in its test_cfg: give it one')
        if getattr(getattr(head, 'loss_cls', None), 'custom_cls_channels', False):
            raise UserError(f'{name} has an activation of its own in its loss_cls')
        if self.cfg.get('min_bbox_size', -1) > 0 and not isinstance(head, RPNHead):
            raise UserError(
                f'{name} has a min_bbox_size, in pixels of the image before its scaling'
            )
        check_nms(self.cfg.get('nms'), name)

    def candidates(
        self, outputs: Sequence[Any], height: Tensor, width: Tensor
    ) -> dict[str, Tensor]:
        """Select and decode the candidates of all levels.

        Args:
            outputs (Sequence[Any]): What the head gives: class scores, boxes, and maybe more.
            height (Tensor): The height of the images in pixels, without padding.
            width (Tensor): Their width.

        Returns:
            dict[str, Tensor]: By name, `(N, K, …)`: boxes, scores, groups, labels, valid, priors,
            and the entries of other outputs of the head, such as kernels.
        """
        cls_scores, box_preds = outputs[:2]
        factors = outputs[2] if self._has_factors(outputs) else [None] * len(cls_scores)
        sizes = [scores.shape[-2:] for scores in cls_scores]
        has_kernels = self._has_kernels(outputs)
        options = dict(with_stride=True) if has_kernels else {}
        all_priors = self.head.prior_generator.grid_priors(
            sizes, dtype=cls_scores[0].dtype, device='cpu', **options
        )
        is_rpn = isinstance(self.head, RPNHead)
        # The RPN has no threshold; every score is above this one, which NaN is not.
        threshold = -0.5 if is_rpn else self.cfg.get('score_thr', 0)
        levels = []
        for i, (scores, boxes, factor, priors) in enumerate(
            zip(cls_scores, box_preds, factors, all_priors)
        ):
            scores = by_position(scores, self.head.cls_out_channels)
            scores = scores.sigmoid() if self._is_sigmoid() else scores.softmax(-1)[..., :-1]
            boxes = self._distances(i, by_position(boxes, -1, self._box_channels(boxes)))
            best, position, labels = top_candidates(scores, threshold, self.cfg.nms_pre)
            level = dict(scores=best, labels=labels, valid=best > threshold)
            level['groups'] = torch.full_like(labels, i) if is_rpn else labels
            chosen = priors[position]
            level['boxes'] = self._decode(chosen, take(boxes, position))
            if factor is not None:
                level['factors'] = take(by_position(factor, 1), position)[..., 0].sigmoid()
            if has_kernels:
                kernels = by_position(outputs[2][i], self.head.num_gen_params)
                level.update(kernels=take(kernels, position), priors=chosen)
            levels.append(level)
        found = {key: torch.cat([level[key] for level in levels], 1) for key in levels[0]}
        if self.head.bbox_coder.clip_border:
            found['boxes'] = clip(found['boxes'], width, height)
        if 'factors' in found:
            found['scores'] = found['scores'] * found['factors']
        enough = large_enough(found['boxes'], self.cfg.get('min_bbox_size', -1))
        found['valid'] = found['valid'] & enough
        return found

    def forward(self, features: Sequence[Tensor], height: Tensor, width: Tensor) -> Detections:
        """Detect in a batch.

        Args:
            features (Sequence[Tensor]): The feature maps that the head is given.
            height (Tensor): The height of the images in pixels, without padding.
            width (Tensor): Their width.

        Returns:
            Detections: The detections.
        """
        outputs = self.head(features)
        found = self.candidates(outputs, height, width)
        images, index = self.best(found)
        boxes, scores, labels = (
            rows(found[key], images, index) for key in ('boxes', 'scores', 'labels')
        )
        if not self._has_kernels(outputs):
            return Detections(boxes, scores, labels, images)
        kernels, priors = (rows(found[key], images, index) for key in ('kernels', 'priors'))
        masks = dynamic_masks(self.head, outputs[3], images, kernels, priors)
        return Detections(boxes, scores, labels, images, masks)

    def best(self, found: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Suppress overlapping candidates: gives images and indices of those that are kept."""
        boxes, scores, groups, valid = (
            found[name] for name in ('boxes', 'scores', 'groups', 'valid')
        )
        most = self.cfg.get('max_per_img', ANY_NUMBER)
        return suppress(boxes, scores, groups, valid, self.cfg.nms, most)

    def _is_sigmoid(self) -> bool:
        return isinstance(self.head, GFLHead) or self.head.use_sigmoid_cls

    def _has_kernels(self, outputs: Sequence[Any]) -> bool:
        """Whether the outputs are those of RTMDet-Ins: scores, boxes, kernels, mask features."""
        return len(outputs) == 4

    def _has_factors(self, outputs: Sequence[Any]) -> bool:
        return len(outputs) == 3

    def _box_channels(self, boxes: Tensor) -> int:
        if isinstance(self.head, GFLHead):
            return 4 * (self.head.reg_max + 1)
        return self.head.bbox_coder.encode_size

    def _distances(self, level: int, boxes: Tensor) -> Tensor:
        """GFL predicts a distribution for each distance: give its mean."""
        if not isinstance(self.head, GFLHead):
            return boxes
        distribution = boxes.unflatten(2, (4, self.head.reg_max + 1)).softmax(-1)
        project = self.head.integral.project.to(boxes.dtype)
        return (distribution * project).sum(-1) * self.head.prior_generator.strides[level][0]

    def _decode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Decode the boxes of a level, `(N, K, 4)`, without clipping them."""
        if isinstance(self.head, GFLHead):
            priors = self.head.anchor_center(priors.flatten(0, 1))
        else:
            priors = priors.flatten(0, 1)
        coder = self.head.bbox_coder
        if isinstance(coder, DistancePointBBoxCoder):
            priors = priors[:, :2]  # without the stride that RTMDet-Ins adds
        decoded = coder.decode(priors, boxes.flatten(0, 1), max_shape=None)
        return decoded.reshape(boxes.shape)


class YOLOXPrediction(nn.Module):
    """YOLOX: the best class of each position, times its objectness; all go into the NMS.

    Args:
        head (YOLOXHead): The head.

    Raises:
        UserError: If its NMS has no counterpart.
    """

    def __init__(self, head: YOLOXHead) -> None:
        super().__init__()
        self.head = head
        check_nms(head.test_cfg.get('nms'), type(head).__name__)

    def forward(self, features: Sequence[Tensor], height: Tensor, width: Tensor) -> Detections:
        """Detect in a batch, see `DensePrediction.forward`; the boxes are not clipped."""
        head = self.head
        cls_scores, box_preds, objectness = head(features)
        priors = head.prior_generator.grid_priors(
            [scores.shape[2:] for scores in cls_scores],
            dtype=cls_scores[0].dtype,
            device='cpu',
            with_stride=True,
        )
        best, labels = _join(cls_scores, head.cls_out_channels).sigmoid().max(-1)
        scores = best * _join(objectness, 1)[..., 0].sigmoid()
        boxes = head._bbox_decode(torch.cat(list(priors)), _join(box_preds, 4))
        valid = scores >= head.test_cfg.score_thr
        nms = head.test_cfg.nms
        images, index = suppress(boxes, scores, labels, valid, nms, ANY_NUMBER)
        boxes, scores, labels = (rows(value, images, index) for value in (boxes, scores, labels))
        return Detections(boxes, scores, labels, images)


def by_position(level: Tensor, channels: int, known: int | None = None) -> Tensor:
    """Turn `(N, A · C, H, W)` into `(N, H · W · A, C)`.

    Args:
        level (Tensor): What a head gives for one level.
        channels (int): C; -1 for ``known``.
        known (int, optional): C. Defaults to None.

    Returns:
        Tensor: The values of each position and anchor.
    """
    last = known if channels == -1 and known is not None else channels
    return level.permute(0, 2, 3, 1).reshape(size(level, 0), -1, last)


def dynamic_masks(
    head: nn.Module, mask_features: Tensor, images: Tensor, kernels: Tensor, priors: Tensor
) -> Tensor:
    """The masks of RTMDet-Ins, whose convolutions have kernels of each detection's own.

    Args:
        head (nn.Module): The head.
        mask_features (Tensor): `(N, C, h, w)`.
        images (Tensor): `(n,)`, the image of each detection.
        kernels (Tensor): `(n, D)`, all parameters of its convolutions.
        priors (Tensor): `(n, 4)`, x, y and strides of its position.

    Returns:
        Tensor: Logits, `(n, h, w)`.
    """
    height, width = size(mask_features, 2), size(mask_features, 3)
    points = head.prior_generator.single_level_grid_priors(
        mask_features.shape[-2:], level_idx=0, device='cpu'
    )
    # (n, h · w, 2): the place of each point, seen from the detection's position
    place = (priors[:, None, :2] - points[None]) / (priors[:, None, 2:3] * 8)
    own = mask_features.flatten(2)[images]
    x = torch.cat([place.transpose(1, 2), own], 1)
    parts = kernels.split(head.weight_nums + head.bias_nums, dim=1)
    layers = len(head.weight_nums)
    for i, (weight, bias) in enumerate(zip(parts[:layers], parts[layers:])):
        outputs = head.bias_nums[i]
        inputs = head.weight_nums[i] // outputs
        x = torch.bmm(weight.reshape(-1, outputs, inputs), x) + bias[:, :, None]
        if i < layers - 1:
            x = x.relu()
    return x[:, 0].reshape(-1, height, width)


def _join(levels: Sequence[Tensor], channels: int) -> Tensor:
    return torch.cat([by_position(level, channels) for level in levels], 1)

"""Prediction of the second stage of Faster, Mask and Cascade R-CNN, for a batch."""

from collections.abc import Sequence

import torch
import torchvision
from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.export.operators import ANY_NUMBER, Detections, check_nms, clip, rows, suppress


class TwoStagePrediction(nn.Module):
    """The boxes and masks of the regions that the first stage proposes.

    All regions of a batch go through the heads one after another; only for the NMS they are put
    together by image.

    Args:
        roi_head (nn.Module): The second stage.

    Raises:
        UserError: If a part of it has no counterpart.
    """

    def __init__(self, roi_head: nn.Module) -> None:
        super().__init__()
        self.roi_head = roi_head
        self.cfg = roi_head.test_cfg
        check_nms(self.cfg.get('nms'), type(roi_head).__name__)
        self.stages = [_Stage(roi_head, i) for i in range(getattr(roi_head, 'num_stages', 1))]
        for stage in self.stages:
            stage.check()

    def forward(
        self,
        features: Sequence[Tensor],
        proposals: Tensor,
        images: Tensor,
        count: Tensor,
        height: Tensor,
        width: Tensor,
    ) -> Detections:
        """Detect in a batch.

        Args:
            features (Sequence[Tensor]): The feature maps.
            proposals (Tensor): `(R, 4)`, the regions of all images.
            images (Tensor): `(R,)`, the image of each, rising.
            count (Tensor): The number of images.
            height (Tensor): The height of the images in pixels, without padding.
            width (Tensor): Their width.

        Returns:
            Detections: The detections.
        """
        boxes = proposals
        logits = []
        for i, stage in enumerate(self.stages):
            scores, deltas = stage.classify(features, boxes, images)
            logits.append(scores)
            if i < len(self.stages) - 1:
                boxes = clip(stage.refine(boxes, scores, deltas), width, height)
        scores = (sum(logits) / float(len(logits))).softmax(-1)[:, :-1]
        boxes = clip(self.stages[-1].decode(boxes, deltas), width, height)
        found = self._best(boxes, scores, images, count)
        if not self.roi_head.with_mask:
            return found
        return found._replace(masks=self._masks(features, found))

    def _best(self, boxes: Tensor, scores: Tensor, images: Tensor, count: Tensor) -> Detections:
        """Suppress overlapping boxes `(R, C or 1, 4)` of scores `(R, C)` in each image."""
        classes = scores.shape[1]
        boxes = boxes.expand(-1, classes, 4)
        place, filled = by_image(images, count)
        # One region more, which fills the gaps of images with fewer regions than the others.
        boxes = torch.cat([boxes, torch.zeros_like(boxes[:1].sum(0, keepdim=True))])[place]
        scores = torch.cat([scores, torch.zeros_like(scores[:1].sum(0, keepdim=True))])[place]
        valid = filled[:, :, None] & (scores > self.cfg.score_thr)
        labels = torch.arange(classes).expand_as(scores)
        boxes, scores, labels, valid = (
            values.flatten(1, 2) for values in (boxes, scores, labels, valid)
        )
        most = self.cfg.max_per_img if self.cfg.max_per_img > 0 else ANY_NUMBER
        kept, index = suppress(boxes, scores, labels, valid, self.cfg.nms, most)
        boxes, scores, labels = (rows(values, kept, index) for values in (boxes, scores, labels))
        return Detections(boxes, scores, labels, kept)

    def _masks(self, features: Sequence[Tensor], found: Detections) -> Tensor:
        """Give the probability of each pixel in a box, `(n, h, w)`."""
        probabilities = []
        for stage in self.stages:
            masks = stage.mask(features, found.boxes, found.images)
            if masks.shape[1] > 1:
                masks = masks[torch.arange(masks.shape[0]), found.labels][:, None]
            probabilities.append(masks[:, 0].sigmoid())
        return sum(probabilities[1:], probabilities[0]) / float(len(probabilities))


class _Stage:
    """A stage of the second stage: one in Faster and Mask R-CNN, several in Cascade R-CNN."""

    def __init__(self, roi_head: nn.Module, index: int) -> None:
        self.roi_head = roi_head
        self.index = index

    def part(self, name: str) -> nn.Module:
        part = getattr(self.roi_head, name)
        return part[self.index] if isinstance(self.roi_head, CascadeRoIHead) else part

    def check(self) -> None:
        """Refuse what the graph would do otherwise than the detector."""
        head = self.part('bbox_head')
        name = type(head).__name__
        if type(head.bbox_coder) is not DeltaXYWHBBoxCoder:
            raise UserError(f'{name} decodes boxes by {type(head.bbox_coder).__name__}')
        if not (head.with_reg and head.with_cls) or head.custom_cls_channels:
            raise UserError(f'{name} predicts no boxes, no classes, or has its own activation')
        parts = ['bbox_roi_extractor']
        if self.roi_head.with_mask and not self.roi_head.share_roi_extractor:
            parts.append('mask_roi_extractor')
        for extractor in map(self.part, parts):
            if type(extractor) is not SingleRoIExtractor:
                raise UserError(f'regions are cut out by {type(extractor).__name__}')
            if any(layer.pool_mode != 'avg' for layer in extractor.roi_layers):
                raise UserError('regions are pooled by their maximum')

    def classify(
        self, features: Sequence[Tensor], boxes: Tensor, images: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give logits `(R, C + 1)` and box deltas `(R, 4 or 4 · C)`."""
        regions = self._cut_out('bbox_roi_extractor', features, boxes, images)
        scores, deltas = self.part('bbox_head')(regions)
        return scores[:-1], deltas[:-1]

    def mask(self, features: Sequence[Tensor], boxes: Tensor, images: Tensor) -> Tensor:
        """Give the logits of the masks, `(n, C or 1, h, w)`."""
        shared = self.roi_head.share_roi_extractor
        extractor = 'bbox_roi_extractor' if shared else 'mask_roi_extractor'
        return self.part('mask_head')(self._cut_out(extractor, features, boxes, images))[:-1]

    def _cut_out(
        self, name: str, features: Sequence[Tensor], boxes: Tensor, images: Tensor
    ) -> Tensor:
        """Cut the regions out, and one more: no layer is then given an empty batch."""
        boxes = torch.cat([boxes, boxes.new_zeros(1, 4)])
        images = torch.cat([images, images.new_zeros(1)])
        regions = cut_out(self.part(name), features, boxes, images)
        return self.roi_head.shared_head(regions) if self.roi_head.with_shared_head else regions

    def decode(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """Decode the deltas of all classes: gives `(R, C or 1, 4)`, not clipped."""
        head = self.part('bbox_head')
        classes = 1 if head.reg_class_agnostic else head.num_classes
        repeated = boxes[:, None].expand(-1, classes, 4).reshape(-1, 4)
        decoded = head.bbox_coder.decode(repeated, deltas.reshape(-1, 4), max_shape=None)
        return decoded.reshape(-1, classes, 4)

    def refine(self, boxes: Tensor, scores: Tensor, deltas: Tensor) -> Tensor:
        """Decode the deltas of the best class: gives `(R, 4)`, not clipped."""
        head = self.part('bbox_head')
        if not head.reg_class_agnostic:
            if head.custom_activation:
                scores = head.loss_cls.get_activation(scores)
            label = scores[:, :-1].argmax(1)
            own = label[:, None] * 4 + torch.arange(4)
            deltas = deltas.gather(1, own)
        return head.bbox_coder.decode(boxes, deltas, max_shape=None)


def cut_out(
    extractor: nn.Module, features: Sequence[Tensor], boxes: Tensor, images: Tensor
) -> Tensor:
    """Cut regions out of the feature maps of their level, as ``SingleRoIExtractor`` does.

    Args:
        extractor (nn.Module): The extractor.
        features (Sequence[Tensor]): The feature maps.
        boxes (Tensor): `(R, 4)`.
        images (Tensor): `(R,)`, the image of each box.

    Returns:
        Tensor: `(R, C, h, w)`.
    """
    features = features[: extractor.num_inputs]
    regions = torch.cat([images[:, None].to(boxes.dtype), boxes], 1)
    if len(features) == 1:
        return _roi_align(extractor.roi_layers[0], features[0], regions)
    level = extractor.map_roi_levels(regions, len(features))
    index = [(level == i).nonzero()[:, 0] for i in range(len(features))]
    parts = [
        _roi_align(layer, feature, regions[own])
        for layer, feature, own in zip(extractor.roi_layers, features, index)
    ]
    return torch.cat(parts)[torch.cat(index).argsort()]


def _roi_align(layer: nn.Module, feature: Tensor, regions: Tensor) -> Tensor:
    return torchvision.ops.roi_align(
        feature,
        regions,
        layer.output_size,
        layer.spatial_scale,
        layer.sampling_ratio,
        layer.aligned,
    )


def by_image(images: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Find the rows of each image among the rows of all images.

    Args:
        images (Tensor): `(R,)`, the image of each row, rising.
        count (Tensor): The number of images N.

    Returns:
        tuple[Tensor, Tensor]: The rows of each image `(N, P)`, with R in the gaps of those that
        have fewer than P, and whether there is a row, `(N, P)`. P is at least 1.
    """
    numbers = (images[None] == torch.arange(count)[:, None]).sum(1)
    place = torch.arange(numbers.max().clamp(min=1))[None]
    filled = place < numbers[:, None]
    start = numbers.cumsum(0) - numbers
    gap = torch.full_like(place, 1) * torch._shape_as_tensor(images)[0]
    return torch.where(filled, start[:, None] + place, gap), filled

"""The valuable localization region: the surroundings of objects, where a teacher knows of edges."""

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor
from torchvision.ops import distance_box_iou

RATIO = 0.25  # γ of the paper, its best value


def valuable_region(
    levels: Sequence[Tensor], counts: Sequence[Tensor], boxes: Tensor, topk: int
) -> Tensor:
    """Weigh the anchors of an image that lie near an object, but not near enough to be assigned it.

    Source: Zheng et al. 2022, https://arxiv.org/abs/2102.12252, section 3: with α the IoU from
    which the assigner takes an anchor for an object, the region is γα ≤ DIoU < α. ATSS has a
    threshold for each object: mean plus standard deviation of the IoUs of the anchors nearest to
    it. The weight of an anchor, its IoU with the object, is that of the authors' code.

    Args:
        levels (Sequence[Tensor]): The anchors of each level, `(A, 4)`, two corners.
        counts (Sequence[Tensor]): Whether each anchor is inside the image, `(A,)`, bool.
        boxes (Tensor): The boxes of the objects, `(G, 4)`.
        topk (int): The number of anchors of a level that ATSS considers for an object.

    Returns:
        Tensor: The weight of each anchor of all levels, `(ΣA,)`, from 0 to 1; 0 outside the region.
    """
    anchors, inside_image = torch.cat(list(levels)), torch.cat(list(counts))
    if len(boxes) == 0:
        return anchors.new_zeros(len(anchors))
    overlaps = bbox_overlaps(anchors, boxes)
    distances = torch.cdist(_centres(anchors), _centres(boxes))
    candidates = []
    for indices in torch.arange(len(anchors), device=anchors.device).split(
        [len(level) for level in levels]
    ):
        indices = indices[inside_image[indices]]
        nearest = distances[indices].topk(min(topk, len(indices)), dim=0, largest=False).indices
        candidates.append(overlaps[indices].gather(0, nearest))
    considered = torch.cat(candidates)
    threshold = considered.mean(0) + considered.std(0)
    nearness = distance_box_iou(anchors, boxes)
    valuable = (nearness >= RATIO * threshold) & (nearness < threshold) & inside_image[:, None]
    return torch.where(valuable, overlaps, 0.0).amax(1)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2

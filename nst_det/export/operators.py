"""Operations whose results have as many entries as the data say, in a form that ONNX records.

Shapes are tensors here, not numbers: a number would become a constant of the graph.
"""

from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor

from nst_det.errors import UserError

INVALID = -1.0  # the score of a candidate that does not count: below every real score
ANY_NUMBER = 2**31 - 1


class Detections(NamedTuple):
    """The detections in all images of a batch, one after another.

    Args:
        boxes (Tensor): `(n, 4)`, the corners x1, y1, x2, y2 in pixels.
        scores (Tensor): `(n,)`, falling within an image.
        labels (Tensor): `(n,)`, class indices.
        images (Tensor): `(n,)`, the index of each one's image in the batch, rising.
        masks (Tensor, optional): `(n, h, w)`, see `nst_det.runtime.masks`. Defaults to None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    images: Tensor
    masks: Tensor | None = None


def size(tensor: Tensor, dim: int) -> Tensor:
    """Get a size as a tensor without dimensions, which a graph computes from its input.

    Args:
        tensor (Tensor): Any tensor.
        dim (int): The dimension.

    Returns:
        Tensor: The size, an integer.
    """
    return torch._shape_as_tensor(tensor)[dim]


def top_candidates(scores: Tensor, score_thr: float, nms_pre: int) -> tuple[Tensor, Tensor, Tensor]:
    """Select the candidates of one level: those above a threshold, and of these the best.

    Args:
        scores (Tensor): `(N, P, C)`, of each position and class. NaN is above no threshold.
        score_thr (float): A candidate's score must be above it.
        nms_pre (int): How many of an image are kept at most.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Scores `(N, K)`, with `INVALID` for those that are not above
        the threshold, positions `(N, K)` and classes `(N, K)`.
    """
    classes = scores.shape[2]
    flat = scores.flatten(1)
    flat = torch.where(flat > score_thr, flat, torch.full_like(flat, INVALID))
    number = torch.minimum(torch.tensor(nms_pre), size(flat, 1))
    best, index = flat.topk(number, dim=1)
    if classes == 1:
        return best, index, torch.zeros_like(index)
    return best, torch.div(index, classes, rounding_mode='floor'), index % classes


def take(values: Tensor, index: Tensor) -> Tensor:
    """Take rows of each image.

    Args:
        values (Tensor): `(N, P, D)`.
        index (Tensor): `(N, K)`, rows of each image.

    Returns:
        Tensor: `(N, K, D)`.
    """
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


def clip(boxes: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Clip boxes to their image.

    Args:
        boxes (Tensor): `(…, 4)`.
        width (Tensor): The width of the image in pixels.
        height (Tensor): The height of the image in pixels.

    Returns:
        Tensor: The boxes within the image.
    """
    limits = torch.stack([width, height, width, height]).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def large_enough(boxes: Tensor, min_size: float) -> Tensor:
    """Tell which boxes have both sides above a size, as ``min_bbox_size`` asks.

    Args:
        boxes (Tensor): `(…, 4)`.
        min_size (float): The size in pixels; below 0 every box is large enough.

    Returns:
        Tensor: Of bool, `(…)`.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    if min_size < 0:
        return torch.ones_like(sides[..., 0], dtype=torch.bool)
    return (sides > min_size).all(-1)


def check_nms(nms: Any, owner: str) -> None:
    """Check that the graph can do the non-maximum suppression of a config.

    Args:
        nms (Any): The option ``nms`` of a ``test_cfg``.
        owner (str): Whose option it is, for the error.

    Raises:
        UserError: If it cannot.
    """
    known = {'type', 'iou_threshold', 'class_agnostic', 'split_thr'}
    if not isinstance(nms, dict) or nms.get('type', 'nms') != 'nms' or set(nms) - known:
        raise UserError(
            f'{owner} suppresses boxes by {nms}: ONNX has only the plain nms with an iou_threshold'
        )


def suppress(
    boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, nms: dict, most: int
) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression within each group of an image, as mmcv's ``batched_nms`` does it.

    Args:
        boxes (Tensor): `(N, K, 4)`, K at least 1.
        scores (Tensor): `(N, K)`.
        groups (Tensor): `(N, K)`, such as the class of each box.
        valid (Tensor): `(N, K)`, of bool: boxes that are not valid are left out.
        nms (dict): The config, see `check_nms`.
        most (int): How many boxes of an image are kept at most.

    Returns:
        tuple[Tensor, Tensor]: The images and the indices of the kept boxes, both `(n,)`, by image,
        then by falling score.
    """
    if not nms.get('class_agnostic', False):
        # mmcv moves the boxes of each group to a place of their own.
        sides = boxes.amax(-1)
        furthest = torch.where(valid, sides, torch.full_like(sides, -1e5)).amax(1, keepdim=True)
        boxes = boxes + (groups.to(boxes.dtype) * (furthest + 1))[:, :, None]
    scores = torch.where(valid, scores, torch.full_like(scores, INVALID))
    kept = _NonMaxSuppression.apply(boxes, scores[:, None], float(nms['iou_threshold']), most)
    return kept[:, 0], kept[:, 2]


def rows(values: Tensor, images: Tensor, index: Tensor) -> Tensor:
    """Take single rows of a batch.

    Args:
        values (Tensor): `(N, K, …)`.
        images (Tensor): `(n,)`, the image of each row.
        index (Tensor): `(n,)`, its place in the image.

    Returns:
        Tensor: `(n, …)`.
    """
    return values.flatten(0, 1)[images * size(values, 1) + index]


class _NonMaxSuppression(torch.autograd.Function):
    """The ONNX operator NonMaxSuppression, with a threshold between `INVALID` and every score."""

    THRESHOLD = INVALID / 2

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, iou: float, most: int) -> Tensor:
        """Give `(n, 3)`: image, 0 and box, for boxes `(N, K, 4)` and scores `(N, 1, K)`."""
        found = [torch.zeros(0, 3, dtype=torch.long)]
        for image, (own, own_scores) in enumerate(zip(boxes, scores[:, 0])):
            index = (own_scores > _NonMaxSuppression.THRESHOLD).nonzero().squeeze(1)
            kept = index[torchvision.ops.nms(own[index], own_scores[index], iou)[:most]]
            found.append(
                torch.stack([torch.full_like(kept, image), torch.zeros_like(kept), kept], 1)
            )
        return torch.cat(found)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou: float, most: int) -> Any:
        """Give the operator of the graph."""
        constants = (
            torch.tensor([most]),
            torch.tensor([iou]),
            torch.tensor([_NonMaxSuppression.THRESHOLD]),
        )
        return g.op(
            'NonMaxSuppression', boxes, scores, *(g.op('Constant', value_t=x) for x in constants)
        )

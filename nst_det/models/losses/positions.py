"""The positions of a feature map that count, and softmax and unit vectors over them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def count_positions(feature_map: Tensor, mask: Tensor | None) -> Tensor:
    """Count the positions of each image that count.

    Args:
        feature_map (Tensor): `(N, C, H, W)`.
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool; None for all.

    Returns:
        Tensor: `(N,)`, of the type of the feature map; 1 for an image without any, as a divisor.
    """
    if mask is None:
        positions = feature_map.shape[2] * feature_map.shape[3]
        return feature_map.new_full((len(feature_map),), positions)
    return mask.flatten(1).sum(1).clamp(min=1).to(feature_map.dtype)


def position_log_softmax(values: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the log of the softmax over the positions of each channel.

    Args:
        values (Tensor): `(N, C, H, W)`.
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool; None for all. The
            probability of the others is 0, their log a large negative number.

    Returns:
        Tensor: `(N, C, H·W)`.
    """
    if mask is not None:
        values = values.masked_fill(~mask, torch.finfo(values.dtype).min / 4)
    return values.flatten(2).log_softmax(2)


def unit_vectors(vectors: Tensor, dim: int) -> Tensor:
    """Divide vectors by their L2 norm.

    Args:
        vectors (Tensor): Of any shape.
        dim (int): The dimension along which the entries of a vector lie.

    Returns:
        Tensor: Of the same shape. A zero vector stays zero, and has the gradient 0.
    """
    squared = vectors.square().sum(dim, keepdim=True)
    alive = squared > 0
    return vectors * torch.where(alive, torch.where(alive, squared, 1.0).rsqrt(), 0.0)


def boxes_to_positions(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Find the positions that boxes cover.

    Args:
        boxes (Tensor): `(G, 4)`, left, top, right and bottom in positions of the feature map.
        size (Sequence[int]): H and W of the feature map.

    Returns:
        Tensor: `(G, H, W)`, bool: the positions whose centre lies inside the box; of a box too
        small for that, the one nearest to its centre.
    """
    columns, rows = (
        _covered(boxes[:, axis], boxes[:, axis + 2], size[1 - axis]) for axis in (0, 1)
    )
    return rows[:, :, None] & columns[:, None, :]


def _covered(begin: Tensor, end: Tensor, length: int) -> Tensor:
    """Find the positions that intervals cover along one axis, `(G, length)`."""
    positions = torch.arange(length, device=begin.device)
    centres = positions + 0.5
    inside = (centres >= begin[:, None]) & (centres <= end[:, None])
    middle = ((begin + end) / 2).floor().clamp(0, length - 1)
    return inside | ((positions == middle[:, None]) & ~inside.any(1, keepdim=True))

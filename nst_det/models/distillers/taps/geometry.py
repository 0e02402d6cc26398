"""Which area of the images the positions of a feature map stand for.

A canvas is a batch's H × W in pixels, its padding included; each of its images lies in the top left
corner. A map's position (y, x) stands for the square of stride × stride pixels whose top left
corner is (y · stride, x · stride).
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

POWERS = [2**k for k in range(9)]


def grid_size(canvas: Sequence[int], stride: float) -> tuple[int, int]:
    """H and W of the map of a stride that covers a canvas.

    Args:
        canvas (Sequence[int]): H and W in pixels.
        stride (float): Pixels per position.
    """
    return math.ceil(canvas[0] / stride), math.ceil(canvas[1] / stride)


def strides_of_map(canvas: Sequence[int], size: Sequence[int]) -> tuple[float, float]:
    """The vertical and the horizontal stride of a map.

    A map may reach beyond its canvas (600 pixels are 38 positions of stride 16) or end before it,
    so the stride is the power of two that fits. Only where none does, it is the sizes' quotient.

    Args:
        canvas (Sequence[int]): H and W in pixels.
        size (Sequence[int]): H and W of the map.

    Returns:
        tuple[float, float]: Pixels per position.
    """
    for stride in POWERS:
        if tuple(size) == grid_size(canvas, stride):
            return stride, stride
    for stride in POWERS:
        if tuple(size) == (canvas[0] // stride, canvas[1] // stride):
            return stride, stride
    return canvas[0] / size[0], canvas[1] / size[1]


def is_grid(canvas: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a map's stride on a canvas is a power of two.

    Args:
        canvas (Sequence[int]): H and W in pixels.
        size (Sequence[int]): H and W of the map.
    """
    vertical, horizontal = strides_of_map(canvas, size)
    return vertical == horizontal and vertical in POWERS


def level_runs(canvas: Sequence[int], length: int) -> list[list[int]]:
    """The levels that a transformer's sequence of positions may hold, one after another.

    Args:
        canvas (Sequence[int]): H and W in pixels.
        length (int): The sequence's length.

    Returns:
        list[list[int]]: Every run of strides out of 4, 8, …, 128, each double the one before, whose
        maps have that many positions in all.
    """
    strides = POWERS[2:8]
    ends = range(len(strides) + 1)
    runs = [strides[start:end] for start, end in itertools.combinations(ends, 2)]
    return [run for run in runs if sum(math.prod(grid_size(canvas, s)) for s in run) == length]


def image_sizes(
    samples: Sequence[DetDataSample], canvas: Sequence[int]
) -> list[tuple[int, int]] | None:
    """The sizes of a padded batch's images.

    Args:
        samples (Sequence[DetDataSample]): The batch's samples, with the metainfo ``img_shape``.
            What a data pipeline pads before it (``Pad``) counts as image.
        canvas (Sequence[int]): H and W of the batch in pixels.

    Returns:
        list[tuple[int, int]], optional: H and W of each image in pixels; None where no image is
        padded.
    """
    canvas = tuple(canvas)
    sizes = [
        tuple(map(min, sample.metainfo.get('img_shape', canvas)[:2], canvas)) for sample in samples
    ]
    return None if all(size == canvas for size in sizes) else sizes


def inside(
    sizes: Sequence[tuple[int, int]] | None, canvas: Sequence[int], feature_map: Tensor
) -> Tensor | None:
    """Which positions of a map lie inside its image: those whose centre does.

    Args:
        sizes (Sequence[tuple[int, int]], optional): H and W of each image in pixels, None where
            each fills the canvas.
        canvas (Sequence[int]): H and W of the batch in pixels.
        feature_map (Tensor): `(N, C, H, W)`.

    Returns:
        Tensor, optional: A mask `(N, 1, H, W)`, at least one position of each image; None where it
        would be all true.
    """
    if sizes is None:
        return None
    shape = feature_map.shape[2:]
    rows, columns = _counts(sizes, strides_of_map(canvas, shape), shape)
    if min(rows) == shape[0] and min(columns) == shape[1]:
        return None
    masks = [
        torch.arange(length) < torch.tensor(counts)[:, None]
        for length, counts in zip(shape, (rows, columns))
    ]
    mask = masks[0][:, None, :, None] & masks[1][:, None, None, :]
    return mask.to(feature_map.device)


def align(
    feature_map: Tensor,
    canvas: Sequence[int],
    size: Sequence[int],
    size_canvas: Sequence[int],
    sizes: Sequence[tuple[int, int]] | None = None,
) -> Tensor:
    """Bring a map to the positions of another one, which saw the same images on another canvas.

    Where the strides agree, only what the other map lacks is cut off. Else the map is interpolated
    at the centres of the other's positions (bilinear; with equal areas this is
    ``F.interpolate(…, align_corners=False)``), from positions inside the image alone.

    Args:
        feature_map (Tensor): The map, `(N, C, H, W)`.
        canvas (Sequence[int]): H and W in pixels of the batch that it was made of.
        size (Sequence[int]): H' and W' of the other map.
        size_canvas (Sequence[int]): H and W in pixels of the batch that the other was made of.
        sizes (Sequence[tuple[int, int]], optional): H and W of each image in pixels. Defaults to
            None: each fills the other's canvas.

    Returns:
        Tensor: `(N, C, H', W')`.
    """
    own, other = strides_of_map(canvas, feature_map.shape[2:]), strides_of_map(size_canvas, size)
    fits = all(have >= want for have, want in zip(feature_map.shape[2:], size))
    if own == other and fits:
        return feature_map[:, :, : size[0], : size[1]]
    shared = min(size_canvas[0], canvas[0]), min(size_canvas[1], canvas[1])
    images = sizes or [shared] * len(feature_map)
    counts = _counts(images, own, feature_map.shape[2:])
    axes = []
    for axis, have in enumerate(feature_map.shape[2:]):
        centres = (torch.arange(size[axis], dtype=torch.float64) + 0.5) * other[axis]
        last = torch.tensor(counts[axis])[:, None] - 1
        at = torch.minimum((centres / own[axis] - 0.5).clamp(min=0), last)
        axes.append((2 * at + 1) / have - 1)  # in grid_sample's unit: the map's edges are ±1
    rows, columns = axes
    shape = (len(feature_map), *size)
    grid = torch.stack([columns[:, None].expand(shape), rows[:, :, None].expand(shape)], dim=3)
    if feature_map.dtype in (torch.float16, torch.bfloat16):
        feature_map = feature_map.float()
    return F.grid_sample(
        feature_map, grid.to(feature_map), padding_mode='border', align_corners=False
    )


def _counts(
    sizes: Sequence[tuple[int, int]], strides: Sequence[float], shape: Sequence[int]
) -> list[list[int]]:
    """How many rows, and how many columns, of a map have their centre inside each image."""
    return [
        [min(length, max(1, math.ceil(size[axis] / stride - 0.5))) for size in sizes]
        for axis, (stride, length) in enumerate(zip(strides, shape))
    ]

"""The area of the images that each position of a feature map covers.

The batch input shape is the H × W of a batch in pixels, padding included. Every image of the batch
lies in the top left corner. The position (y, x) of a feature map covers the square of
stride × stride pixels whose top left corner is (y · stride, x · stride).
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

POWERS_OF_TWO = [2**k for k in range(9)]


def grid_size(batch_input_shape: Sequence[int], stride: float) -> tuple[int, int]:
    """Compute H and W of the feature map of a given stride that covers the whole batch.

    Args:
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.
        stride (float): Pixels per position.
    """
    return math.ceil(batch_input_shape[0] / stride), math.ceil(batch_input_shape[1] / stride)


def compute_strides(batch_input_shape: Sequence[int], size: Sequence[int]) -> tuple[float, float]:
    """Compute the vertical and the horizontal stride of a feature map from its size.

    A feature map may cover more pixels than the batch has (600 pixels are 38 positions of
    stride 16), or fewer. So the stride is the power of two that fits; only if none fits, it is the
    quotient of the sizes.

    Args:
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.
        size (Sequence[int]): H and W of the feature map.

    Returns:
        tuple[float, float]: Pixels per position.
    """
    height, width = batch_input_shape
    for stride in POWERS_OF_TWO:
        if tuple(size) == grid_size(batch_input_shape, stride):
            return stride, stride
    for stride in POWERS_OF_TWO:
        if tuple(size) == (height // stride, width // stride):
            return stride, stride
    return height / size[0], width / size[1]


def has_power_of_two_stride(batch_input_shape: Sequence[int], size: Sequence[int]) -> bool:
    """Whether the stride of a feature map is a power of two, the same in both directions.

    Args:
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.
        size (Sequence[int]): H and W of the feature map.
    """
    vertical, horizontal = compute_strides(batch_input_shape, size)
    return vertical == horizontal and vertical in POWERS_OF_TWO


def possible_levels(batch_input_shape: Sequence[int], length: int) -> list[list[int]]:
    """List the levels that a transformer's sequence of a given length can consist of.

    Args:
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.
        length (int): The length of the sequence.

    Returns:
        list[list[int]]: Each a list of consecutive strides out of 4, 8, …, 128 whose feature maps
        have ``length`` positions together.
    """
    strides = POWERS_OF_TWO[2:8]
    ends = range(len(strides) + 1)
    candidates = [strides[start:end] for start, end in itertools.combinations(ends, 2)]
    return [
        levels
        for levels in candidates
        if sum(math.prod(grid_size(batch_input_shape, stride)) for stride in levels) == length
    ]


def image_sizes(
    samples: Sequence[DetDataSample], batch_input_shape: Sequence[int]
) -> list[tuple[int, int]] | None:
    """Read the sizes of the images of a padded batch.

    Args:
        samples (Sequence[DetDataSample]): The samples of the batch, with ``img_shape`` in their
            metainfo. Padding by the data pipeline (``Pad``) counts as image.
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.

    Returns:
        list[tuple[int, int]], optional: H and W of each image in pixels; None if no image is
        padded.
    """
    full = tuple(batch_input_shape)
    sizes = [
        tuple(map(min, sample.metainfo.get('img_shape', full)[:2], full)) for sample in samples
    ]
    return None if all(size == full for size in sizes) else sizes


def image_mask(
    sizes: Sequence[tuple[int, int]] | None,
    batch_input_shape: Sequence[int],
    feature_map: Tensor,
) -> Tensor | None:
    """Mask the positions of a feature map whose centre lies inside the image.

    Args:
        sizes (Sequence[tuple[int, int]], optional): H and W of each image in pixels; None if no
            image is padded.
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.
        feature_map (Tensor): `(N, C, H, W)`.

    Returns:
        Tensor, optional: A bool mask `(N, 1, H, W)` that is True at one position or more of each
        image; None if it would be True everywhere.
    """
    if sizes is None:
        return None
    height, width = feature_map.shape[2:]
    strides = compute_strides(batch_input_shape, (height, width))
    rows, columns = positions_inside(sizes, strides, (height, width))
    if min(rows) == height and min(columns) == width:
        return None
    row_mask = torch.arange(height) < torch.tensor(rows)[:, None]
    column_mask = torch.arange(width) < torch.tensor(columns)[:, None]
    mask = row_mask[:, None, :, None] & column_mask[:, None, None, :]
    return mask.to(feature_map.device)


def align_feature_map(
    feature_map: Tensor,
    batch_input_shape: Sequence[int],
    target_size: Sequence[int],
    target_batch_input_shape: Sequence[int],
    sizes: Sequence[tuple[int, int]] | None = None,
    scale: float = 1.0,
) -> Tensor:
    """Bring a feature map to the positions of another one, of the same images padded differently.

    If the strides agree, the positions that the other feature map does not have are cut off.
    Otherwise the feature map is interpolated at the centres of the other positions (bilinear; if
    both cover the same area, this is ``F.interpolate(…, align_corners=False)``). Only positions
    inside the image are read.

    Args:
        feature_map (Tensor): The feature map, `(N, C, H, W)`.
        batch_input_shape (Sequence[int]): H and W in pixels of the batch that it comes from.
        target_size (Sequence[int]): H' and W' of the other feature map.
        target_batch_input_shape (Sequence[int]): H and W in pixels of the batch that the other
            feature map comes from.
        sizes (Sequence[tuple[int, int]], optional): H and W of each image in pixels of the other
            batch. Defaults to None: every image fills it.
        scale (float): The size of the images in the batch of the feature map, over their size in
            the other batch. Defaults to 1.

    Returns:
        Tensor: `(N, C, H', W')`.
    """
    size = feature_map.shape[2:]
    # In pixels of the other batch, as all that follows.
    strides = tuple(stride / scale for stride in compute_strides(batch_input_shape, size))
    target_strides = compute_strides(target_batch_input_shape, target_size)
    if strides == target_strides and size[0] >= target_size[0] and size[1] >= target_size[1]:
        return feature_map[:, :, : target_size[0], : target_size[1]]
    height, width = (
        min(target, side / scale)
        for target, side in zip(target_batch_input_shape, batch_input_shape)
    )
    counts = positions_inside(sizes or [(height, width)] * len(feature_map), strides, size)
    rows, columns = (
        _sample_points(target_size[axis], target_strides[axis], size[axis], strides[axis], count)
        for axis, count in enumerate(counts)
    )
    shape = (len(feature_map), *target_size)
    grid = torch.stack([columns[:, None].expand(shape), rows[:, :, None].expand(shape)], dim=3)
    if feature_map.dtype in (torch.float16, torch.bfloat16):
        feature_map = feature_map.float()
    return F.grid_sample(
        feature_map, grid.to(feature_map), padding_mode='border', align_corners=False
    )


def _sample_points(
    target_length: int, target_stride: float, length: int, stride: float, counts: Sequence[int]
) -> Tensor:
    """Compute along one axis where to read a feature map, in the unit of ``F.grid_sample``.

    Args:
        target_length (int): Number of points.
        target_stride (float): Pixels from one point to the next.
        length (int): Number of positions of the feature map.
        stride (float): Pixels per position.
        counts (Sequence[int]): Of each image, the number of positions inside it.

    Returns:
        Tensor: `(N, target_length)`, float64; -1 and 1 are the edges of the feature map.
    """
    centres = (torch.arange(target_length, dtype=torch.float64) + 0.5) * target_stride
    last = torch.tensor(counts)[:, None] - 1
    positions = torch.minimum((centres / stride - 0.5).clamp(min=0), last)
    return (2 * positions + 1) / length - 1


def positions_inside(
    sizes: Sequence[tuple[float, float]], strides: Sequence[float], shape: Sequence[int]
) -> list[list[int]]:
    """Count the rows, and the columns, of a feature map whose centre lies inside each image.

    Args:
        sizes (Sequence[tuple[float, float]]): H and W of each image in pixels.
        strides (Sequence[float]): Pixels per position, vertically and horizontally.
        shape (Sequence[int]): H and W of the feature map.

    Returns:
        list[list[int]]: The rows of each image, and the columns; of each at least 1.
    """
    return [
        [min(length, max(1, math.ceil(size[axis] / stride - 0.5))) for size in sizes]
        for axis, (stride, length) in enumerate(zip(strides, shape))
    ]

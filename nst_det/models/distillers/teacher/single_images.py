"""The images of a batch one by one, and their feature maps together again.

What a teacher computes for an image then does not depend on the other images of the batch, which
are padded to one size. A cache can use it in any batch.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from nst_det.errors import UserError

Shape = tuple[int, int]


def cut_out(
    inputs: Tensor, samples: Sequence[DetDataSample], shapes: Sequence[Shape]
) -> list[tuple[Tensor, DetDataSample]]:
    """Cut the images out of a padded batch.

    Args:
        inputs (Tensor): The batch, `(N, C, H, W)`.
        samples (Sequence[DetDataSample]): Its samples; they are not changed.
        shapes (Sequence[tuple[int, int]]): H and W of each image, with the padding that it has in
            a batch of its own.

    Returns:
        list[tuple[Tensor, DetDataSample]]: Each image, `(C, h, w)`, with a sample for it alone.
    """
    singles = []
    for image, sample, (height, width) in zip(inputs, samples, shapes):
        sample = DetDataSample(metainfo=sample.metainfo)
        sample.set_metainfo(dict(batch_input_shape=(height, width), pad_shape=(height, width)))
        singles.append((image[:, :height, :width], sample))
    return singles


def groups_of_one_shape(shapes: Sequence[Shape]) -> list[list[int]]:
    """Group the indices of images that can run in one batch without more padding."""
    indices = sorted(range(len(shapes)), key=lambda i: shapes[i])
    return [list(group) for _, group in groupby(indices, key=lambda i: shapes[i])]


def together(images: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Put the feature maps of several images into batches, with zeros beside the smaller ones.

    Args:
        images (Sequence[Sequence[Tensor]]): Of each image, its feature maps, `(C, h, w)` each.

    Returns:
        list[Tensor]: `(N, C, H, W)` each, with H and W of the largest.
    """
    return [_padded(rows) for rows in zip(*images)]


def _padded(rows: Sequence[Tensor]) -> Tensor:
    if len({row.shape for row in rows}) == 1:
        return torch.stack(list(rows))
    if {row.dim() for row in rows} != {3}:
        raise UserError(
            'teacher.cache cannot serve this teacher in batches of images of several sizes: what '
            'it gives for an image is no feature map (C, H, W): leave teacher.cache out',
            'teacher.cache',
        )
    height, width = (max(row.shape[axis] for row in rows) for axis in (1, 2))
    batch = rows[0].new_zeros(len(rows), rows[0].shape[0], height, width)
    for target, row in zip(batch, rows):
        target[:, : row.shape[1], : row.shape[2]] = row
    return batch

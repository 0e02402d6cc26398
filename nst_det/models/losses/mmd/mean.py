"""MMD² of the linear kernel: the squared distance of the mean patterns."""

import torch
from torch import Tensor

from nst_det.models.losses.mmd.patterns import pattern_scale, squared_norms


def mean_mmd2(x: Tensor, y: Tensor) -> Tensor:
    r"""Compute MMD² between the patterns of two sets of channels for k(x, y) = xᵀy.

    .. math:: \mathrm{MMD}^2 = \left\| \tfrac{1}{C_x} \sum_i \hat x_i
        − \tfrac{1}{C_y} \sum_j \hat y_j \right\|^2

    (NST, https://arxiv.org/abs/1707.01219). It takes O(C·HW).

    Args:
        x (Tensor): One set of channels, not normalised, `(N, C_x, H·W)`.
        y (Tensor): The other set, `(N, C_y, H·W)`.

    Returns:
        Tensor: MMD² of each image, `(N,)`.
    """
    return (_mean_pattern(x) - _mean_pattern(y)).square().sum(1)


def _mean_pattern(rows: Tensor) -> Tensor:
    """Average the patterns of channels by a product that needs no copy of the feature map."""
    scale = pattern_scale(squared_norms(rows)).unsqueeze(1)
    return torch.bmm(scale, rows).squeeze(1) / rows.shape[1]

"""MMD² of the square kernel from HW × HW matrices, for fewer positions than channels."""

import torch
from torch import Tensor

from nst_det.models.losses.mmd.patterns import selectivity_patterns


def dual_mmd2(x: Tensor, y: Tensor) -> Tensor:
    r"""Compute MMD² between the patterns of two sets of channels for k(x, y) = (xᵀy)².

    .. math:: \mathrm{MMD}^2 = \left\| \tfrac{1}{C_x} \hat X^⊤ \hat X
        − \tfrac{1}{C_y} \hat Y^⊤ \hat Y \right\|_F^2

    with a pattern in each row of X̂ and Ŷ (NST, https://arxiv.org/abs/1707.01219). The products
    take O(C·HW²), those of Gram matrices O(C²·HW).

    Args:
        x (Tensor): One set of channels, not normalised, `(N, C_x, H·W)`.
        y (Tensor): The other set, `(N, C_y, H·W)`.

    Returns:
        Tensor: MMD² of each image, `(N,)`.
    """
    return (_spatial_gram(x) - _spatial_gram(y)).square().sum((1, 2))


def _spatial_gram(rows: Tensor) -> Tensor:
    """Average the outer products of the patterns with themselves, `(N, H·W, H·W)`."""
    patterns = selectivity_patterns(rows)
    return torch.bmm(patterns.mT, patterns) / rows.shape[1]

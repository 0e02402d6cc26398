"""Neuron selectivity patterns: the normalised activations of each channel of a feature map."""

import torch
from torch import Tensor

NORM_FLOOR = 1e-6


def selectivity_patterns(feature_map: Tensor) -> Tensor:
    """Turn every channel of a feature map into its neuron selectivity pattern.

    A pattern is the vector of a channel's activations, divided by its L2 norm. A dead channel (all
    zeros) has the pattern 0 and the gradient 0. A norm below 1e-6 counts as 1e-6: the gradient
    grows as the norm shrinks, and the gradient of an almost dead channel would exceed all others.

    Args:
        feature_map (Tensor): `(N, C, H, W)` or `(N, C, H·W)`.

    Returns:
        Tensor: The patterns, `(N, C, H·W)`.
    """
    rows = feature_map.flatten(2)
    return rows * pattern_scale(squared_norms(rows)).unsqueeze(2)


def squared_norms(rows: Tensor) -> Tensor:
    """Compute the squared L2 norms of channels, without a squared copy of them.

    Args:
        rows (Tensor): The channels, one a row, `(N, C, H·W)`.

    Returns:
        Tensor: `(N, C)`.
    """
    return torch.linalg.vector_norm(rows, dim=2).square()


def pattern_scale(squared_norm: Tensor) -> Tensor:
    """Compute the factors that turn channels into patterns.

    Args:
        squared_norm (Tensor): The squared L2 norms of the channels, of any shape.

    Returns:
        Tensor: One over the norm, at most 1e6, and 0 for a dead channel; of the same shape.
    """
    scale = squared_norm.clamp(min=NORM_FLOOR**2).rsqrt()
    return torch.where(squared_norm > 0, scale, torch.zeros_like(scale))


def project(coefficient: Tensor, squared_norm: Tensor) -> Tensor:
    """Compute the part of a gradient that the normalisation of a pattern removes.

    With p = x/‖x‖ and g the gradient at p: d/dx f(x/‖x‖) = (g − (g·p) p) / ‖x‖. Below the floor the
    factor does not depend on x, and nothing is removed.

    Args:
        coefficient (Tensor): g·p of each channel.
        squared_norm (Tensor): The squared L2 norms of the channels, of the same shape.

    Returns:
        Tensor: g·p, or 0 below the floor.
    """
    return torch.where(squared_norm >= NORM_FLOOR**2, coefficient, torch.zeros_like(coefficient))

"""Neuron selectivity patterns: what each channel of a feature map responds to."""

import torch
from torch import Tensor

NORM_FLOOR = 1e-6


def selectivity_patterns(feature_map: Tensor) -> Tensor:
    """Turn every channel of a feature map into its neuron selectivity pattern.

    A pattern is the channel's activations as one vector, divided by its L2 norm. A dead channel
    (all zeros) has the pattern 0, and passes back the gradient 0. A norm below 1e-6 counts as 1e-6:
    the gradient grows as the norm shrinks, and that of a channel all but dead would drown the rest.

    Args:
        feature_map (Tensor): `(N, C, H, W)`.

    Returns:
        Tensor: The patterns, `(N, C, H·W)`.
    """
    rows = feature_map.flatten(2)
    return rows * pattern_scale(rows.square().sum(2, keepdim=True))


def squared_norms(rows: Tensor) -> Tensor:
    """The channels' squared L2 norms, without a squared copy of them.

    Args:
        rows (Tensor): `(N, C, HW)`.

    Returns:
        Tensor: `(N, C)`.
    """
    return torch.linalg.vector_norm(rows, dim=2).square()


def pattern_scale(squared_norm: Tensor) -> Tensor:
    """What a channel is multiplied by to become its pattern.

    Args:
        squared_norm (Tensor): The channels' squared L2 norms, of any shape.

    Returns:
        Tensor: One over the norm, at most 1e6, and 0 for a dead channel.
    """
    scale = squared_norm.clamp(min=NORM_FLOOR**2).rsqrt()
    return torch.where(squared_norm > 0, scale, torch.zeros_like(scale))


def project(coefficient: Tensor, squared_norm: Tensor) -> Tensor:
    """The part of a pattern's gradient along the pattern itself that its normalisation takes away.

    d/dx f(x/‖x‖) = (g − (g·p) p) / ‖x‖ with p = x/‖x‖ and g the gradient at p. Below the floor the
    scale does not depend on x, and nothing is taken away.

    Args:
        coefficient (Tensor): g·p of each channel.
        squared_norm (Tensor): The channels' squared norms, of the same shape.

    Returns:
        Tensor: g·p, or 0 below the floor.
    """
    return torch.where(squared_norm >= NORM_FLOOR**2, coefficient, torch.zeros_like(coefficient))

"""Choosing the channels of a feature map to look at, and matching those of two feature maps."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from nst_det.models.losses import selectivity_patterns

FAINT = 0.05  # share of the norm of the strongest channel


def patterns_of(feature_map: Tensor) -> Tensor:
    """Compute the selectivity patterns of the feature map of one image.

    Args:
        feature_map (Tensor): `(C, H, W)`.

    Returns:
        Tensor: The patterns, `(C, H·W)`; the pattern of a dead channel is 0.
    """
    return selectivity_patterns(feature_map[None])[0]


def selectivity(feature_map: Tensor) -> Tensor:
    """Compute how selective each channel is: the fewer positions are active, the more.

    The measure is the sparseness of Hoyer (JMLR 5, 2004, section 3.1): (√n − L1/L2) / (√n − 1) of
    the n activations of the channel. It is 0 if all are equal and 1 if only one is not zero. The
    pattern of a channel that is hardly active (norm below 5 % of the strongest) is noise; the
    result is then 0.

    Args:
        feature_map (Tensor): `(C, H, W)`.

    Returns:
        Tensor: `(C,)`, 0 to 1.
    """
    rows = feature_map.flatten(1)
    root = math.sqrt(rows.shape[1])
    l1, l2 = rows.abs().sum(1), rows.norm(dim=1)
    sparseness = (root - l1 / l2.clamp(min=1e-12)) / max(root - 1, 1e-12)
    active = (l2 > 0) & (l2 >= FAINT * max(l2.tolist(), default=0.0))
    return torch.where(active, sparseness, torch.zeros_like(sparseness))


def strongest_channels(feature_map: Tensor, count: int) -> Tensor:
    """Find the channels with the largest norms. Dead channels are left out.

    Args:
        feature_map (Tensor): `(C, H, W)`.
        count (int): The largest number of channels.

    Returns:
        Tensor: The channels in ascending order.
    """
    norms = feature_map.flatten(1).norm(dim=1)
    strongest = norms.argsort(descending=True, stable=True)[:count]
    return strongest[norms[strongest] > 0].sort().values


def choose_channels(feature_map: Tensor, count: int) -> list[int]:
    """Choose a few of the most selective channels that respond to different things.

    The first is the most selective channel. Each of the next is, among the 6 · count most
    selective channels, the one that is least similar to those chosen before (farthest point
    sampling by cosine similarity). Dead channels are left out.

    Args:
        feature_map (Tensor): `(C, H, W)`.
        count (int): The largest number of channels.

    Returns:
        list[int]: The channels in the order of their choice.
    """
    values = selectivity(feature_map)
    best = values.argsort(descending=True, stable=True)[: 6 * count]
    best = best[feature_map[best].flatten(1).any(1)]
    patterns = patterns_of(feature_map[best])
    similarity = patterns @ patterns.T
    chosen = [0] if len(best) else []
    while len(chosen) < min(count, len(best)):
        nearest = similarity[:, chosen].max(1).values
        nearest[chosen] = math.inf
        chosen.append(int(nearest.argmin()))
    return best[chosen].tolist()


def match_channels(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pair the channels of two feature maps so that the sum of the cosine similarities is largest.

    The assignment is optimal (``scipy.optimize.linear_sum_assignment``). A channel is in one pair
    at most.

    Args:
        teacher (Tensor): `(C_T, H, W)`.
        student (Tensor): `(C_S, H, W)`.

    Returns:
        tuple[Tensor, Tensor, Tensor]: For each of the min(C_T, C_S) pairs the channel of the
        teacher (ascending), the channel of the student, and the cosine similarity of their
        patterns.
    """
    cosines = patterns_of(teacher) @ patterns_of(student).T
    pairs = linear_sum_assignment(cosines.numpy(), maximize=True)
    rows, columns = (torch.from_numpy(indices) for indices in pairs)
    return rows, columns, cosines[rows, columns]

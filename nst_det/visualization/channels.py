"""Which channels of a map are worth a look, and which of two maps' channels belong together."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from nst_det.models.losses import selectivity_patterns

FAINT = 0.05  # of the strongest channel's norm


def patterns_of(feature_map: Tensor) -> Tensor:
    """The selectivity patterns of one image's map.

    Args:
        feature_map (Tensor): `(C, H, W)`.

    Returns:
        Tensor: Its patterns, `(C, H·W)`; those of dead channels are 0.
    """
    return selectivity_patterns(feature_map[None])[0]


def selectivity(feature_map: Tensor) -> Tensor:
    """How selective each channel is: how few positions of the image hold its activation.

    The sparseness of Hoyer (JMLR 5, 2004, section 3.1), (√n − L1/L2) / (√n − 1) of the n
    activations: 0 where all are alike, 1 where a single one is not zero. A channel that hardly
    fires (norm below 5 % of the strongest) has a pattern of noise, and counts as 0.

    Args:
        feature_map (Tensor): `(C, H, W)`.

    Returns:
        Tensor: `(C,)`, 0 to 1.
    """
    rows = feature_map.flatten(1)
    root = math.sqrt(rows.shape[1])
    l1, l2 = rows.abs().sum(1), rows.norm(dim=1)
    sparseness = (root - l1 / l2.clamp(min=1e-12)) / max(root - 1, 1e-12)
    fires = (l2 > 0) & (l2 >= FAINT * max(l2.tolist(), default=0.0))
    return torch.where(fires, sparseness, torch.zeros_like(sparseness))


def strongest_channels(feature_map: Tensor, count: int) -> Tensor:
    """The channels that fire the most; dead ones are never among them.

    Args:
        feature_map (Tensor): `(C, H, W)`.
        count (int): How many at most.

    Returns:
        Tensor: Their indices in ascending order.
    """
    norms = feature_map.flatten(1).norm(dim=1)
    strongest = norms.argsort(descending=True, stable=True)[:count]
    return strongest[norms[strongest] > 0].sort().values


def choose_channels(feature_map: Tensor, count: int) -> list[int]:
    """A few of the most selective channels that respond to different things.

    The first is the most selective; each other one is, of the 6 · count most selective, the one
    least like those before it (farthest point sampling by cosine similarity).

    Args:
        feature_map (Tensor): `(C, H, W)`.
        count (int): How many at most; dead channels are never chosen.

    Returns:
        list[int]: The channels, as chosen.
    """
    values = selectivity(feature_map)
    best = values.argsort(descending=True, stable=True)[: 6 * count]
    best = best[feature_map[best].flatten(1).any(1)]
    patterns = patterns_of(feature_map[best])
    likeness = patterns @ patterns.T
    chosen = [0] if len(best) else []
    while len(chosen) < min(count, len(best)):
        nearest = likeness[:, chosen].max(1).values
        nearest[chosen] = math.inf
        chosen.append(int(nearest.argmin()))
    return best[chosen].tolist()


def match_channels(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pair the channels of two maps so that the cosine similarities sum up to the most.

    The assignment is optimal (the Hungarian problem, by SciPy), each channel in one pair at most.

    Args:
        teacher (Tensor): `(C_T, H, W)`.
        student (Tensor): `(C_S, H, W)`.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Of each of the min(C_T, C_S) pairs the teacher's channel (in
        ascending order), the student's, and the cosine similarity of their patterns.
    """
    cosines = patterns_of(teacher) @ patterns_of(student).T
    rows, columns = (
        torch.from_numpy(one) for one in linear_sum_assignment(cosines.numpy(), maximize=True)
    )
    return rows, columns, cosines[rows, columns]

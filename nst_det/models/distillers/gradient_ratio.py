"""How hard a transfer pulls at the student's map, against how hard detection does."""

import math
import warnings
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from nst_det.errors import UserError

# Keeps gradients of half precision from vanishing; it is gone from the ratio.
_SCALE = 2.0**12


def gradient_ratios(
    detection: Tensor,
    tapped: Sequence[Sequence[Tensor]],
    transferred: Tensor,
    seen: Sequence[Sequence[Tensor]],
) -> list[Tensor]:
    """Norm of each transfer's gradient over that of the detection losses' gradient, at its map.

    Below 1 a step along both gradients still lowers the detection losses, whatever the angle
    between them: g·(g + h) ≥ |g|² (1 − |h| / |g|).

    Neither gradient is accumulated anywhere, and the graph stays for the backward pass to come.

    Args:
        detection (Tensor): The student's own losses, added up: a scalar.
        tapped (Sequence[Sequence[Tensor]]): Per transfer what it taps (one map, or class scores),
            out of which the student made those losses. Norms are over the whole of it, padding and
            all.
        transferred (Tensor): The transfers' losses, added up: a scalar.
        seen (Sequence[Sequence[Tensor]]): The same as the transfers see it: one view of each
            tensor, which nothing but its transfer reads. So one transfer's gradient is told from
            another's that taps the same map, or a deeper one.

    Returns:
        list[Tensor]: One ratio per transfer, a float32 scalar: ``inf`` where no gradient of the
        detection losses reaches the map, ``nan`` where the gradients cannot be had.
    """
    if not tapped:
        return []
    if not torch.is_grad_enabled():
        return [transferred.new_full((), math.nan)] * len(tapped)
    # The backward pass runs outside autocast too.
    with torch.autocast(detection.device.type, enabled=False):
        theirs = _norms(transferred, seen)
        try:
            own = _norms(detection, tapped)
        except RuntimeError as error:
            if '.grad()' not in str(error):  # each torch words it in its own way
                raise
            warnings.warn(
                'the ratio of the gradients cannot be measured: reentrant activation checkpointing '
                '(with_cp=True) runs after a tapped layer; monitor_interval=0 does without',
                stacklevel=2,
            )
            return [transferred.new_full((), math.nan)] * len(tapped)
    return [their_norm / own_norm for their_norm, own_norm in zip(theirs, own)]


def _norms(loss: Tensor, groups: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Norm of the gradient of a loss at each group of tensors, in float32 over all of it."""
    zero = torch.zeros((), device=loss.device)
    if not loss.requires_grad:
        return [zero] * len(groups)
    gradients = iter(
        torch.autograd.grad(
            loss,
            [one for group in groups for one in group],
            torch.full_like(loss, _SCALE),
            retain_graph=True,
            allow_unused=True,
        )
    )
    norms = []
    for group in groups:
        parts = [
            zero if one is None else one.float().norm() for one in islice(gradients, len(group))
        ]
        norms.append(torch.stack(parts).norm())
    return norms


def check_interval(interval: int) -> int:
    """Check the ``monitor_interval`` of a distiller.

    Raises:
        UserError: Where it is not a whole number of at least 0.
    """
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 0:
        raise UserError(
            f'monitor_interval is {interval!r}, expected a whole number of iterations, or 0 for no '
            'monitoring of the gradients'
        )
    return interval

"""How hard a transfer pulls at the student's map, against how hard detection does."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from nst_det.errors import UserError

# Keeps gradients of half precision from vanishing; it is gone from the ratio.
_SCALE = 2.0**12


def gradient_ratios(
    detection: Tensor, maps: Sequence[Tensor], transferred: Tensor, seen: Sequence[Tensor]
) -> list[Tensor]:
    """Norm of each transfer's gradient over that of the detection losses' gradient, at its map.

    Below 1 a step along both gradients still lowers the detection losses, whatever the angle
    between them: g·(g + h) ≥ |g|² (1 − |h| / |g|).

    Neither gradient is accumulated anywhere, and the graph stays for the backward pass to come.

    Args:
        detection (Tensor): The student's own losses, added up: a scalar.
        maps (Sequence[Tensor]): The tapped maps, out of which the student made those losses. Norms
            are over the whole of each, padding and all.
        transferred (Tensor): The transfers' losses, added up: a scalar.
        seen (Sequence[Tensor]): The maps as the transfers see them: one view of each map, which
            nothing but its transfer reads. So one transfer's gradient is told from another's that
            taps the same map, or a deeper one.

    Returns:
        list[Tensor]: One ratio per map, a float32 scalar: ``inf`` where no gradient of the
        detection losses reaches the map, ``nan`` where the gradients cannot be had.
    """
    if not maps:
        return []
    if not torch.is_grad_enabled():
        return [transferred.new_full((), math.nan)] * len(maps)
    # The backward pass runs outside autocast too.
    with torch.autocast(detection.device.type, enabled=False):
        theirs = _norms(transferred, seen)
        try:
            own = _norms(detection, maps)
        except RuntimeError as error:
            if '.grad()' not in str(error):  # each torch words it in its own way
                raise
            warnings.warn(
                'the ratio of the gradients cannot be measured: reentrant activation checkpointing '
                '(with_cp=True) runs after a tapped layer; monitor_interval=0 does without',
                stacklevel=2,
            )
            return [transferred.new_full((), math.nan)] * len(maps)
    return [their_norm / own_norm for their_norm, own_norm in zip(theirs, own)]


def _norms(loss: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """Norm of the gradient of a loss at each of the maps, in float32 over the whole map."""
    zero = torch.zeros((), device=loss.device)
    if not loss.requires_grad:
        return [zero] * len(maps)
    gradients = torch.autograd.grad(
        loss, maps, torch.full_like(loss, _SCALE), retain_graph=True, allow_unused=True
    )
    return [zero if one is None else one.float().norm() for one in gradients]


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

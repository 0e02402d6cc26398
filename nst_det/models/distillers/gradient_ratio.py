"""The ratio of a transfer's gradient to the gradient of the detection losses."""

import math
import warnings
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

# Both gradients are scaled, so that small ones do not vanish in half precision.
_SCALE = 2.0**12
# The relative change of the detection losses if a feature map changes by its own norm. Layers from
# which objects are detected have 1e-3 to 1e-1, those without any object 1e-7 and less.
STARVED = 1e-5


def gradient_ratios(
    detection_loss: Tensor,
    tapped: Sequence[Sequence[Tensor]],
    transfer_loss: Tensor,
    views: Sequence[Sequence[Tensor]],
) -> list[Tensor]:
    """Compute the norm of each transfer's gradient over that of the detection gradient.

    Both are gradients at the student's feature map. At a ratio below 1 a step along the sum of the
    detection gradient g and the transfer's gradient h still lowers the detection losses, at any
    angle between g and h: g·(g + h) ≥ |g|² (1 − |h| / |g|).

    No gradient is accumulated in a parameter, and the graph is kept for the backward pass.

    Args:
        detection_loss (Tensor): The sum of the student's own losses, a scalar.
        tapped (Sequence[Sequence[Tensor]]): For each transfer the tensors that it taps (a feature
            map, or logits), from which the student computed those losses. A norm is over all of a
            transfer's tensors, padding included.
        transfer_loss (Tensor): The sum of the losses of the transfers, a scalar.
        views (Sequence[Sequence[Tensor]]): For each transfer the views of the same tensors that
            only this transfer reads. They tell its gradient from that of another transfer at the
            same layer or at a deeper one.

    Returns:
        list[Tensor]: One float32 scalar for each transfer: ``inf`` if (almost) no gradient of the
        detection losses reaches the feature map, so that they hardly depend on it; ``nan`` if the
        gradients cannot be computed.
    """
    if not tapped:
        return []
    if not torch.is_grad_enabled():
        return [transfer_loss.new_full((), math.nan)] * len(tapped)
    # The backward pass of a training step runs outside autocast too.
    with torch.autocast(detection_loss.device.type, enabled=False):
        transfer_norms = _norms(transfer_loss, views)
        try:
            detection_norms = _norms(detection_loss, tapped)
        except RuntimeError as error:
            if '.grad()' not in str(error):  # the rest of the message depends on torch's version
                raise
            warnings.warn(
                'grad_ratio cannot be computed, because reentrant activation checkpointing '
                '(with_cp=True) runs after a tapped layer; monitor_interval=0 turns it off',
                stacklevel=2,
            )
            return [transfer_loss.new_full((), math.nan)] * len(tapped)
    least = STARVED * _SCALE * detection_loss.detach().float().abs()
    ratios = []
    for transfer, detection, tensors in zip(transfer_norms, detection_norms, tapped):
        size = torch.stack([tensor.detach().float().norm() for tensor in tensors]).norm()
        starved = detection * size < least
        ratios.append(torch.where(starved, math.inf, transfer / detection))
    return ratios


def _norms(loss: Tensor, groups: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Compute the norm of the gradient of a loss at each group of tensors, in float32."""
    zero = torch.zeros((), device=loss.device)
    if not loss.requires_grad:
        return [zero] * len(groups)
    gradients = iter(
        torch.autograd.grad(
            loss,
            [tensor for group in groups for tensor in group],
            torch.full_like(loss, _SCALE),
            retain_graph=True,
            allow_unused=True,
        )
    )
    norms = []
    for group in groups:
        tensor_norms = [
            zero if gradient is None else gradient.float().norm()
            for gradient in islice(gradients, len(group))
        ]
        norms.append(torch.stack(tensor_norms).norm())
    return norms

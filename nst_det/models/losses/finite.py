"""Catching a loss that is no number before anything learns from it."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nst_det.errors import UserError


def check_finite(losses: Mapping[str, Tensor | Sequence[Tensor]], iteration: int) -> None:
    """Check that every loss term is a finite number.

    Args:
        losses (Mapping[str, Tensor or Sequence[Tensor]]): The loss terms by name. What is not
            called a loss (an accuracy) is left alone.
        iteration (int): The iteration that they are of, from 0, for the error.

    Raises:
        UserError: Where a term is infinite or NaN; it names the terms and the iteration.
    """
    terms = {
        name: torch.stack([one.detach().float().sum() for one in value]).sum()
        if isinstance(value, Sequence)
        else value.detach().float().sum()
        for name, value in losses.items()
        if 'loss' in name and (isinstance(value, Tensor) or len(value))
    }
    if not terms:
        return
    sums = torch.stack(list(terms.values()))
    if torch.isfinite(sums).all():
        return
    bad = [
        f'{name}={value}' for name, value in zip(terms, sums.tolist()) if not math.isfinite(value)
    ]
    raise UserError(
        f'loss not finite at iteration {iteration + 1}: {", ".join(bad)}. '
        'Lower the learning rate or the loss weight, clip gradients, or check the data'
    )

"""Catching a loss that is no number before anything learns from it."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nst_det.errors import UserError


def check_finite(
    losses: Mapping[str, Tensor | Sequence[Tensor]],
    iteration: int,
    maps: Mapping[str, Tensor] | None = None,
    paths: Sequence[str] = (),
) -> None:
    """Check that every loss term is a finite number.

    Args:
        losses (Mapping[str, Tensor or Sequence[Tensor]]): The loss terms by name. What is not
            called a loss (an accuracy) is left alone.
        iteration (int): The iteration that they are of, from 0, for the error.
        maps (Mapping[str, Tensor], optional): What the losses were made of, by name; the error
            says which were no numbers already. Defaults to None.
        paths (Sequence[str]): The images', for the error. Defaults to ().

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
    before = [name for name, one in (maps or {}).items() if not one.isfinite().all()]
    origin = f'; not finite already: {", ".join(before)}' if before else ''
    origin += f'; images: {", ".join(paths)}' if paths else ''
    raise UserError(
        f'loss not finite at iteration {iteration + 1}: {", ".join(bad)}{origin}. '
        'Lower the learning rate or the loss weight, clip gradients, or check the data'
    )

"""A check for NaN or infinite losses, made before anything learns from them."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nst_det.errors import UserError


def check_finite(
    losses: Mapping[str, Tensor | Sequence[Tensor]],
    iteration: int,
    describe_origin: Callable[[], str] = str,
) -> None:
    """Check that no loss term is NaN or infinite.

    Args:
        losses (Mapping[str, Tensor or Sequence[Tensor]]): The loss terms by name. Values without
            'loss' in their name, such as an accuracy, are not checked.
        iteration (int): The iteration, from 0, for the error.
        describe_origin (Callable): Gives the part of the error that says where the value came
            from. It is called only if there is an error. Defaults to a function that gives ''.

    Raises:
        UserError: If a term is NaN or infinite. It names the terms and the iteration.
    """
    sums = {
        name: torch.stack([term.detach().float().sum() for term in value]).sum()
        if isinstance(value, Sequence)
        else value.detach().float().sum()
        for name, value in losses.items()
        if 'loss' in name and (isinstance(value, Tensor) or len(value))
    }
    if not sums or torch.stack(list(sums.values())).isfinite().all():
        return
    values = {name: value.item() for name, value in sums.items()}
    faults = [f'{name}={value}' for name, value in values.items() if not math.isfinite(value)]
    raise UserError(
        f'loss not finite at iteration {iteration + 1}: {", ".join(faults)}{describe_origin()}. '
        'Lower the learning rate or the loss weight, clip gradients, or check the data'
    )


def describe_inputs(tensors: Mapping[str, Tensor], paths: Sequence[str]) -> str:
    """Describe the inputs of a loss that is NaN or infinite.

    Args:
        tensors (Mapping[str, Tensor]): The images and feature maps, by a name for the user.
        paths (Sequence[str]): The paths of the images.

    Returns:
        str: The names of the tensors that are not finite, and the paths, each after a semicolon.
    """
    faults = [name for name, value in tensors.items() if not value.isfinite().all()]
    text = f'; not finite already: {", ".join(faults)}' if faults else ''
    if paths:
        text += f'; images: {", ".join(paths)}'
    return text

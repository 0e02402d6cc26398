"""A decorator for a gradient that is computed by formula and has no gradient itself."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def once_differentiable(backward: Callable) -> Callable:
    """Make the backward pass of an autograd function refuse a second derivative.

    ``torch.autograd.function.once_differentiable`` gives zeros instead of an error if only the
    inputs, and not the upstream gradient, are to be differentiated again.

    Args:
        backward (Callable): The static method ``backward(ctx, upstream)``.

    Returns:
        Callable: The method, run without autocast. It raises a `RuntimeError` if it is called with
        ``create_graph=True``.
    """

    @wraps(backward)
    def wrapper(ctx: Any, upstream: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                'NSTLoss can be differentiated only once with this kernel: its backward pass was '
                'run with create_graph=True, which asks for a second derivative'
            )
        with torch.autocast(upstream.device.type, enabled=False):
            return backward(ctx, upstream)

    return wrapper

"""Saying that an analytic gradient has no gradient itself."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def once_differentiable(backward: Callable) -> Callable:
    """Let an autograd function's backward pass refuse to be differentiated.

    torch's own ``once_differentiable`` gives zeros where only the inputs, and not the gradient that
    comes from above, are to be differentiated again.

    Args:
        backward (Callable): The static method ``backward(ctx, upstream)``.

    Raises:
        RuntimeError: In the backward pass, where ``create_graph=True`` asks for more.
    """

    @wraps(backward)
    def once(ctx: Any, upstream: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                'the loss of NST can be differentiated once: its backward pass was run with '
                'create_graph=True, which asks for a second derivative'
            )
        with torch.autocast(upstream.device.type, enabled=False):
            return backward(ctx, upstream)

    return once

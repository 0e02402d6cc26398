"""The floating-point type that losses are computed in."""

from functools import reduce

import torch
from torch import Tensor


def in_float32(*tensors: Tensor) -> list[Tensor]:
    """Convert tensors to float32, or to float64 if one of them is.

    Args:
        *tensors (Tensor): The tensors.

    Returns:
        list[Tensor]: The tensors, all of one type.
    """
    types = (tensor.dtype for tensor in tensors)
    common = reduce(torch.promote_types, types, torch.float32)
    return [tensor.to(common) for tensor in tensors]

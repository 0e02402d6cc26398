"""The floating-point type that a detector computes in."""

import logging
import platform
from contextlib import AbstractContextManager, nullcontext

import torch
from mmengine.logging import print_log

PRECISIONS = dict(float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)


def precision_context(precision: str | None, device: torch.device) -> AbstractContextManager:
    """Give a ``with`` block in which autocast computes in a floating-point type.

    Args:
        precision (str, optional): ``'float32'``, ``'bfloat16'`` or ``'float16'``; None leaves
            autocast as it is.
        device (torch.device): The device that computes.

    Returns:
        AbstractContextManager: The ``with`` block.
    """
    if precision is None:
        return nullcontext()
    if precision == 'float32':
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, PRECISIONS[precision])


def computed_in(like: torch.Tensor) -> torch.dtype:
    """Find the type in which products of a tensor are computed now, autocast included.

    Args:
        like (torch.Tensor): A tensor of the type and on the device in question.

    Returns:
        torch.dtype: The type.
    """
    number = like.new_ones(1, 1)
    return (number @ number).dtype


def warn_if_emulated(precision: str | None, device: torch.device) -> None:
    """Warn if a device has no arithmetic for a floating-point type and emulates it.

    Args:
        precision (str, optional): As in :func:`precision_context`.
        device (torch.device): The device.
    """
    if precision in (None, 'float32') or is_native(precision, device):
        return
    print_log(
        f"teacher.precision is '{precision}', which this {device.type.upper()} can only emulate, "
        'many times slower than float32: leave the option out on this device',
        'current',
        logging.WARNING,
    )


def is_native(precision: str, device: torch.device) -> bool:
    """Tell whether a device has arithmetic for a floating-point type of 16 bits.

    Args:
        precision (str): ``'bfloat16'`` or ``'float16'``.
        device (torch.device): The device.

    Returns:
        bool: Whether it has; False if it emulates it.
    """
    if device.type == 'cuda':
        needed = dict(bfloat16=(8, 0), float16=(5, 3))[precision]
        return torch.cuda.get_device_capability(device) >= needed
    if device.type == 'cpu':
        short_name = dict(bfloat16='bf16', float16='fp16')[precision]
        is_supported = getattr(torch.ops.mkldnn, f'_is_mkldnn_{short_name}_supported', None)
        if is_supported is None or not is_supported():
            return False
        # oneDNN takes bfloat16 on every CPU with AVX-512, also where it must convert to float32.
        has_instructions = getattr(torch.cpu, '_is_avx512_bf16_supported', None)
        if precision == 'bfloat16' and platform.machine() == 'x86_64' and has_instructions:
            return has_instructions() or torch.cpu._is_amx_tile_supported()
    return True

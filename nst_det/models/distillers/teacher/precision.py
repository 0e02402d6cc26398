"""The floating-point type that a detector computes in."""

import logging
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


def warn_if_emulated(
    precision: str | None, device: torch.device, option: str = 'teacher.precision'
) -> None:
    """Warn if a device has no arithmetic for a floating-point type and emulates it.

    Args:
        precision (str, optional): As in :func:`precision_context`.
        device (torch.device): The device.
        option (str): What asked for it. Defaults to ``'teacher.precision'``.
    """
    if precision in (None, 'float32') or _is_native(precision, device):
        return
    print_log(
        f"{option} is '{precision}', which this {device.type.upper()} can only emulate, "
        'many times slower than float32: leave the option out on this device',
        'current',
        logging.WARNING,
    )


def _is_native(precision: str, device: torch.device) -> bool:
    if device.type == 'cuda':
        needed = dict(bfloat16=(8, 0), float16=(5, 3))[precision]
        return torch.cuda.get_device_capability(device) >= needed
    if device.type == 'cpu':
        short_name = dict(bfloat16='bf16', float16='fp16')[precision]
        is_supported = getattr(torch.ops.mkldnn, f'_is_mkldnn_{short_name}_supported', None)
        return is_supported is not None and is_supported()
    return True

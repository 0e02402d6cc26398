"""The type of number that a frozen detector computes in."""

import logging
from contextlib import AbstractContextManager, nullcontext

import torch
from mmengine.logging import print_log

PRECISIONS = dict(float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)


def computing_in(precision: str | None, device: torch.device) -> AbstractContextManager:
    """Have the operations of a block computed in a type: those that autocast knows to bear it.

    Args:
        precision (str, optional): ``'float32'``, ``'bfloat16'`` or ``'float16'``; None leaves
            autocast as it is.
        device (torch.device): Where they are computed.

    Returns:
        AbstractContextManager: The ``with`` block.
    """
    if precision is None:
        return nullcontext()
    if precision == 'float32':
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, PRECISIONS[precision])


def warn_where_imitated(precision: str | None, device: torch.device) -> None:
    """Say so where a device has no arithmetic of its own for a type.

    Args:
        precision (str, optional): What :func:`computing_in` takes.
        device (torch.device): The device.
    """
    if precision in (None, 'float32') or _is_native(precision, device):
        return
    print_log(
        f"teacher.precision is '{precision}', which this {device.type.upper()} has no arithmetic "
        'for and imitates, many times slower than float32: leave it out here',
        'current',
        logging.WARNING,
    )


def _is_native(precision: str, device: torch.device) -> bool:
    if device.type == 'cuda':
        needed = dict(bfloat16=(8, 0), float16=(5, 3))[precision]
        return torch.cuda.get_device_capability(device) >= needed
    if device.type == 'cpu':
        short = dict(bfloat16='bf16', float16='fp16')[precision]
        asked = getattr(torch.ops.mkldnn, f'_is_mkldnn_{short}_supported', None)
        return asked is not None and asked()
    return True

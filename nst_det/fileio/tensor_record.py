"""Tensors as bytes that can be used where they lie in a memory-mapped file, without a copy."""

import json
import math
import struct
from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNMENT = 64  # bytes; each tensor begins at a multiple of it
_LENGTH = struct.Struct('<I')  # of the description
TYPES = {
    name: getattr(torch, name)
    for name in ('float32', 'float64', 'float16', 'bfloat16', 'int64', 'int32', 'uint8', 'bool')
}
_NAMES = {dtype: name for name, dtype in TYPES.items()}


def encode(
    tensors: Sequence[Tensor], stored: torch.dtype | None = None
) -> list[bytes | memoryview]:
    """Write tensors as bytes.

    Args:
        tensors (Sequence[Tensor]): The tensors, on any device.
        stored (torch.dtype, optional): The type in which tensors of floating-point numbers are
            written; see :func:`rounded`. Defaults to None, their own.

    Returns:
        list[bytes | memoryview]: The parts of the record in their order: a description, and the
        values of each tensor.
    """
    description, values = [], []
    for tensor in tensors:
        kept = in_type(tensor, stored)
        kept = kept.detach().cpu().contiguous()
        description.append([_NAMES[tensor.dtype], _NAMES[kept.dtype], list(kept.shape)])
        values.append(memoryview(kept.reshape(-1).view(torch.uint8).numpy()))
    text = json.dumps(description).encode()
    head = _LENGTH.pack(len(text)) + text
    parts: list[bytes | memoryview] = [head + _filling(len(head))]
    for value in values:
        parts += [value, _filling(value.nbytes)]
    return parts


def decode(record: memoryview) -> list[Tensor]:
    """Read tensors from bytes, as data only.

    Args:
        record (memoryview): What :func:`encode` wrote.

    Returns:
        list[Tensor]: The tensors, in the type that they had. Those that were stored in this type
        share the memory of the record, and must not be changed.

    Raises:
        ValueError: If it is not such a record.
    """
    try:
        (length,) = _LENGTH.unpack_from(record)
        offset = _LENGTH.size + length
        description = json.loads(bytes(record[_LENGTH.size : offset]))
        offset += len(_filling(offset))
        tensors = []
        for own, stored, shape in description:
            count = math.prod(shape)
            size = count * TYPES[stored].itemsize
            if min(shape, default=0) < 0 or offset + size > len(record):
                raise ValueError('it is cut off')
            if count:
                tensor = torch.frombuffer(record, dtype=TYPES[stored], count=count, offset=offset)
            else:
                tensor = torch.empty(0, dtype=TYPES[stored])
            tensors.append(tensor.view(shape).to(TYPES[own]))
            offset += size + len(_filling(size))
        return tensors
    except (struct.error, TypeError, KeyError, RuntimeError) as error:
        raise ValueError(f'not a record of tensors: {error}') from error


def in_type(tensor: Tensor, stored: torch.dtype | None) -> Tensor:
    """Convert floating-point numbers to a type, unless one of them is too large for it."""
    if stored is None or not tensor.is_floating_point():
        return tensor
    converted = tensor.to(stored)
    if stored == torch.float16 and not converted.isfinite().all():
        return tensor
    return converted


def rounded(tensor: Tensor, stored: torch.dtype | None) -> Tensor:
    """Round a tensor as if it had been written and read again."""
    return in_type(tensor, stored).to(tensor.dtype)


def _filling(size: int) -> bytes:
    return bytes(-size % ALIGNMENT)

"""Loading mmengine's checkpoints with ``torch.load(weights_only=True)``, which runs no code.

The problem: the checkpoints of mmengine 0.10 hold the training log as ``HistoryBuffer`` objects:
numpy arrays, and the buffer's statistics pickled as ``getattr(HistoryBuffer, 'mean')``. torch 2.6
and later refuse these, so that resuming and testing fail. And with every torch, mmengine reads a
URL in a way that runs any code in the file. The fork onedl-mmengine 0.10 allows ``getattr`` itself,
with which a crafted file runs code, and reads what was refused once more without ``weights_only``.

The answer: stand-ins for exactly these functions and classes, which do what an honest checkpoint
needs and no more. ``getattr`` gives only the statistics of HistoryBuffer. ``dtype`` knows only the
plain numbers, so that bytes are never taken for Python objects. An array is as large as the bytes
that come with it. A buffer begins empty. torch allows ``encode`` and ``bytearray`` by itself; here
they do only what pickled bytes need, because a crafted file can make them fill the memory. mmengine
reads files and URLs through :mod:`nst_det.fileio.checkpoint`. ``weights_only`` stays on: a file
that needs more is refused.

It can go when mmengine saves its log as plain numbers and loads with ``weights_only=True``.
"""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import _weights_only_unpickler

from nst_det.fileio import checkpoint

_STATISTICS = ('min', 'max', 'current', 'mean')
_NUMBERS = '?bhilqBHILQefdFD'  # numpy's type codes: booleans, integers, floats, complex
_CODES = {np.dtype(code).str[1:] for code in _NUMBERS}


class _Buffer:
    """Stand-in for HistoryBuffer: gives an empty one, which the next step of the pickle fills."""

    def __new__(cls) -> HistoryBuffer:
        return HistoryBuffer.__new__(HistoryBuffer)


def _statistic(owner: object, name: str) -> Callable:
    """Stand-in for ``getattr``: gives the statistics of HistoryBuffer and nothing else."""
    if owner is _Buffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'refused getattr({type(owner).__name__}, {name!r}): a checkpoint may look up only '
        f"HistoryBuffer's {', '.join(_STATISTICS)}"
    )


class _NumberType:
    """Stand-in for numpy's ``dtype``, whose pickled state could declare bytes to be objects."""

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        self.code, self.order = code, '='

    def __setstate__(self, state: tuple) -> None:
        version, self.order, *rest = state
        if version != 3 or rest != [None, None, None, -1, -1, 0]:
            raise pickle.UnpicklingError(f'refused the numpy type {self.code!r} {state!r:.80}')

    @property
    def dtype(self) -> np.dtype:
        if self.code not in _CODES or self.order not in ('<', '>', '=', '|'):
            raise pickle.UnpicklingError(
                f'refused the numpy type {self.code!r}: not a plain number'
            )
        return np.dtype(self.code).newbyteorder(self.order)


class _Array(np.ndarray):
    """An array from a checkpoint: plain numbers, as many as its bytes hold."""

    def __new__(cls) -> '_Array':
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: tuple) -> None:
        version, shape, number, fortran, content = state
        if (
            version != 1
            or type(number) is not _NumberType
            or type(shape) is not tuple
            or any(type(size) is not int or size < 0 for size in shape)
            or type(content) is not bytes
            or len(content) != math.prod(shape) * number.dtype.itemsize
        ):
            raise pickle.UnpicklingError('refused a numpy array that does not fit its bytes')
        super().__setstate__((1, shape, number.dtype, bool(fortran), content))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple:
        return self.view(np.ndarray).__reduce_ex__(protocol)  # saved as any other array


def _array(kind: object, shape: object, code: object) -> _Array:
    """Stand-in for numpy's ``_reconstruct``, with which the pickle of an array begins."""
    return _Array()


def _scalar(number: _NumberType, content: bytes) -> np.generic:
    """Stand-in for numpy's ``scalar``."""
    if type(number) is not _NumberType or type(content) is not bytes:
        raise pickle.UnpicklingError('refused a numpy scalar that is not a plain number')
    (value,) = np.frombuffer(content, number.dtype)
    return value


def _encode(text: str, encoding: str = 'utf-8') -> bytes:
    """Stand-in for ``_codecs.encode``, with which bytes are pickled."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'refused to encode in {encoding!r}: bytes come in latin1')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    """Stand-in for ``bytes``, which a pickle calls only for empty bytes."""
    return b''


def _bytearray(text: str = '', encoding: str = 'latin1') -> bytearray:
    """Stand-in for ``bytearray``, for the calls that a pickle makes."""
    return bytearray(text if type(text) is bytes else _encode(text, encoding))


_NUMPY = (  # a checkpoint names the module as the numpy that wrote it did
    (part, f'{module}.{name}')
    for part, name in ((_array, '_reconstruct'), (_scalar, 'scalar'))
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
)
_SAFE_GLOBALS = (
    (_Buffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_NumberType, 'numpy.dtype'),
    ('numpy.ndarray', 'numpy.ndarray'),  # the pickle of an array only passes it to _reconstruct
    *_NUMPY,
    (_statistic, 'builtins.getattr'),
    (_no_bytes, 'builtins.bytes'),
    # The pickle may set the state of these. No file can name them: the names in a file have a dot.
    (HistoryBuffer, 'HistoryBuffer'),
    (_Array, 'Array'),
)


def load_from_local(path: str, map_location: Any = None) -> Any:
    """Read a checkpoint file: see :func:`nst_det.fileio.checkpoint.load_file`.

    The name is that of mmengine's own loader: mmengine logs a part of it ("by local backend").
    """
    return checkpoint.load_file(path, map_location)


def load_refusing(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
    """Stand-in for the fork's loader, for what does not come from a local file or the web either.

    Args:
        file (str, Path or BytesIO): A file, or the content of one.
        map_location (Any): The argument of ``torch.load``. Defaults to None.
        weights_only (bool, optional): Not used: it is always on. Defaults to None.

    Returns:
        Any: The content: see :func:`nst_det.fileio.checkpoint.load_file`.
    """
    if isinstance(file, str | Path):
        return checkpoint.load_file(str(file), map_location)
    return torch.load(file, map_location=map_location, weights_only=True)


def apply() -> None:
    """Let ``torch.load(..., weights_only=True)`` read the checkpoints of mmengine's Runner."""
    if torch.__version__ >= (2, 6):
        torch.serialization.add_safe_globals(_SAFE_GLOBALS)
    allowed: dict[str, Any] = getattr(_weights_only_unpickler, '_get_allowed_globals', dict)()
    for name, stand_in in {'_codecs.encode': _encode, 'builtins.bytearray': _bytearray}.items():
        if name in allowed:
            allowed[name] = stand_in
    if hasattr(mmengine_checkpoint, '_safe_torch_load'):
        mmengine_checkpoint._safe_torch_load = load_refusing
    mmengine_checkpoint.load_url = checkpoint.load_url
    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=load_from_local, force=True
    )

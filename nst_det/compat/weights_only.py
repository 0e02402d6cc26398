"""Loading mmengine's checkpoints where ``torch.load`` refuses to run code (``weights_only=True``).

The problem: mmengine 0.10's checkpoints hold the training log as ``HistoryBuffer`` objects: numpy
arrays, and the buffer's statistics pickled as ``getattr(HistoryBuffer, 'mean')``. torch 2.6 and
later refuse those, so both resuming and testing fail; and mmengine's way of reading a URL runs
whatever the file says with every torch.

The answer: stand-ins in the names of exactly those, which do what an honest checkpoint asks for:
``getattr`` gives HistoryBuffer's statistics only; ``dtype`` knows the plain numbers, so that no
bytes are ever taken for Python objects; an array is as large as the bytes that come with it; a
buffer begins empty. Of torch's own list, ``encode`` and ``bytearray`` are held to what pickling
bytes needs, for they can be made to fill the memory. And mmengine reads files and URLs through
:mod:`nst_det.fileio.checkpoint`. ``weights_only`` stays on: a file that needs more is refused.

It can go when mmengine saves its log as plain numbers and loads with ``weights_only=True``.
"""

import math
import pickle
from collections.abc import Callable
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
    """In the name of HistoryBuffer: an empty one, which the next step of the pickle fills."""

    def __new__(cls) -> HistoryBuffer:
        return HistoryBuffer.__new__(HistoryBuffer)


def _statistic(owner: object, name: str) -> Callable:
    """In the name of ``getattr``: the statistics of HistoryBuffer and nothing else."""
    if owner is _Buffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'refused getattr({type(owner).__name__}, {name!r}): a checkpoint may look up only '
        f"HistoryBuffer's {', '.join(_STATISTICS)}"
    )


class _NumberType:
    """In the name of numpy's ``dtype``, whose own pickled state could call bytes objects."""

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        self.code, self.order = code, '='

    def __setstate__(self, state: tuple) -> None:
        version, self.order, *rest = state
        if version != 3 or rest != [None, None, None, -1, -1, 0]:
            raise pickle.UnpicklingError(f'refused the numpy type {self.code!r} {state!r:.80}')

    @property
    def dtype(self) -> np.dtype:
        if self.code not in _CODES or self.order not in ('<', '>', '=', '|'):
            raise pickle.UnpicklingError(f'refused the numpy type {self.code!r}: no plain number')
        return np.dtype(self.code).newbyteorder(self.order)


class _Array(np.ndarray):
    """An array out of a checkpoint: of plain numbers, as many as its bytes make."""

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
            raise pickle.UnpicklingError('refused a numpy array that is not what its bytes make')
        super().__setstate__((1, shape, number.dtype, bool(fortran), content))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple:
        return self.view(np.ndarray).__reduce_ex__(protocol)  # saved as any other array


def _array(kind: object, shape: object, code: object) -> _Array:
    """In the name of numpy's ``_reconstruct``, which an array's pickle begins with."""
    return _Array()


def _scalar(number: _NumberType, content: bytes) -> np.generic:
    """In the name of numpy's ``scalar``."""
    if type(number) is not _NumberType or type(content) is not bytes:
        raise pickle.UnpicklingError('refused a numpy scalar that is no plain number')
    (value,) = np.frombuffer(content, number.dtype)
    return value


def _encode(text: str, encoding: str = 'utf-8') -> bytes:
    """In the name of ``_codecs.encode``, as bytes are pickled."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'refused to encode in {encoding!r}: bytes come in latin1')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    """In the name of ``bytes``, which pickles none by calling it."""
    return b''


def _bytearray(text: str = '', encoding: str = 'latin1') -> bytearray:
    """In the name of ``bytearray``, as it is pickled."""
    return bytearray(text if type(text) is bytes else _encode(text, encoding))


_NUMPY = (  # a checkpoint names the module as the numpy that wrote it did
    (part, f'{module}.{name}')
    for part, name in ((_array, '_reconstruct'), (_scalar, 'scalar'))
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
)
_SAFE_GLOBALS = (
    (_Buffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_NumberType, 'numpy.dtype'),
    ('numpy.ndarray', 'numpy.ndarray'),  # what an array's pickle hands to _reconstruct: a mere name
    *_NUMPY,
    (_statistic, 'builtins.getattr'),
    (_no_bytes, 'builtins.bytes'),
    # Content may be set to these; no file can name them, for its names all have a dot.
    (HistoryBuffer, 'HistoryBuffer'),
    (_Array, 'Array'),
)


def apply() -> None:
    """Let ``torch.load(..., weights_only=True)`` read what mmengine's Runner saved."""
    if torch.__version__ >= (2, 6):
        torch.serialization.add_safe_globals(_SAFE_GLOBALS)
    allowed: dict[str, Any] = getattr(_weights_only_unpickler, '_get_allowed_globals', dict)()
    for name, stand_in in {'_codecs.encode': _encode, 'builtins.bytearray': _bytearray}.items():
        if name in allowed:
            allowed[name] = stand_in
    mmengine_checkpoint.load_url = checkpoint.load_url
    mmengine_checkpoint.CheckpointLoader.register_scheme(
        prefixes='', loader=checkpoint.load_file, force=True
    )

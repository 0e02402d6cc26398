"""Reading MXNet's parameter files, without MXNet.

A file that ``mx.nd.save`` wrote is a list of dense arrays, all little-endian:

    uint64 0x112, uint64 0, uint64 number of arrays, the arrays, uint64 number of names, the names

A name is a uint64 length and as many bytes. An array is, by its first uint32,

    0xF993fac8 (V1)    ndim: uint32, dims: int64
    0xF993fac9 (V2)    storage type: int32 (0 is dense), then as V1
    0xF993faca (V3)    as V2, with numpy's semantics: ndim 0 is a scalar, a dim of 0 makes an array
                       without elements, and ndim −1 an array that was never initialised; in the
                       others ndim 0 and a dim of 0 say the last
    anything else      the oldest form: this uint32 is ndim, dims: uint32

then the device (two int32), the element type (int32) and the elements. Source: the function that
writes the format, ``NDArray::Save`` in src/ndarray/ndarray.cc of MXNet.

Memory is allocated only for arrays that the file is large enough to hold.
"""

import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nst_det.errors import UserError

LIST_MAGIC = struct.pack('<Q', 0x112)
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = {0: '<f4', 2: '<f2'}
_OTHER_DTYPES = {
    1: 'float64',
    3: 'uint8',
    4: 'int32',
    5: 'int8',
    6: 'int64',
    7: 'bool',
    8: 'int16',
    9: 'uint16',
    10: 'uint32',
    11: 'uint64',
    12: 'bfloat16',
}
_UNKNOWN = 2**32 - 1  # −1, as V3 writes the number of dimensions that nothing is known of
_MOST_DIMENSIONS = 32


def is_mxnet_params(path: str | Path) -> bool:
    """Tell whether a local file begins like a parameter file of MXNet.

    Args:
        path (str or Path): The file.

    Returns:
        bool: Whether it does. False if there is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        return False
    with file.open('rb') as opened:
        return opened.read(len(LIST_MAGIC)) == LIST_MAGIC


def read_mxnet_params(path: str | Path) -> dict[str, Tensor]:
    """Read the arrays of a file that MXNet wrote (``mx.nd.save``, ``.params``).

    Args:
        path (str or Path): The file.

    Returns:
        dict[str, Tensor]: The arrays by name, such as ``'arg:conv_1_weight'``, in float32.

    Raises:
        UserError: If the file is of another kind, truncated or longer than it declares, or holds
            anything but dense arrays of float32 or float16.
    """
    return _Reader(Path(path).expanduser()).read()


class _Reader:
    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self.content = memoryview(file.read_bytes())
        except OSError as error:
            raise UserError(f'{file}: {error.strerror}') from error
        self.at = 0

    def read(self) -> dict[str, Tensor]:
        if self._take(8, 'its first bytes') != LIST_MAGIC:
            raise self._fault('it is no list of arrays that MXNet saved')
        self._number('<Q', 'its header')
        # Each array takes 4 bytes at least, each name 8.
        arrays = [self._array(i) for i in range(self._count('arrays', 4))]
        names = [self._name(i) for i in range(self._count('names', 8))]
        if len(names) != len(arrays):
            raise self._fault(f'it holds {len(arrays)} arrays and {len(names)} names')
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise self._fault(f'it holds two arrays called {twice!r}')
        if self.at != len(self.content):
            raise self._fault(f'{len(self.content) - self.at} bytes follow its end')
        return dict(zip(names, arrays))

    def _array(self, index: int) -> Tensor:
        where = f'array {index}'
        version = self._number('<I', where)
        if version in (_V2, _V3):
            storage = self._number('<i', where)
            if storage != 0:
                raise self._fault(
                    f'{where} is sparse (storage type {storage}), expected a dense one'
                )
        shape = self._shape(version, where)
        if version != _V3 and (not shape or 0 in shape):
            raise self._fault(f'{where} was never initialised')
        self._number('<q', where)  # the device
        kind = self._number('<i', where)
        if kind not in _DTYPES:
            name = _OTHER_DTYPES.get(kind, f'type {kind}')
            raise self._fault(f'{where} is of {name}, expected float32 or float16')
        dtype = np.dtype(_DTYPES[kind])
        elements = self._take(math.prod(shape) * dtype.itemsize, where)
        values = np.frombuffer(elements, dtype).astype('<f4').reshape(shape)
        return torch.from_numpy(values)

    def _shape(self, version: int, where: str) -> tuple[int, ...]:
        old = version not in (_V1, _V2, _V3)
        dimensions = version if old else self._number('<I', where)
        if version == _V3 and dimensions == _UNKNOWN:
            raise self._fault(f'{where} was never initialised')
        if dimensions > _MOST_DIMENSIONS:
            raise self._fault(
                f"{where} begins with {dimensions:#x}, which is no version of MXNet's"
                if old
                else f'{where} has {dimensions} dimensions, expected {_MOST_DIMENSIONS} at most'
            )
        sizes = [self._number('<I' if old else '<q', where) for _ in range(dimensions)]
        if any(size < 0 for size in sizes):
            raise self._fault(f'{where} has the shape {tuple(sizes)}')
        return tuple(sizes)

    def _name(self, index: int) -> str:
        where = f'name {index}'
        name = self._take(self._number('<Q', where), where)
        try:
            return str(name, 'utf-8')
        except UnicodeDecodeError:
            raise self._fault(f'{where} is no text') from None

    def _count(self, what: str, least: int) -> int:
        count = self._number('<Q', f'the number of its {what}')
        if count * least > len(self.content) - self.at:
            raise self._fault(f'it promises {count} {what}, more than its size allows')
        return count

    def _number(self, form: str, where: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form), where))[0]

    def _take(self, length: int, where: str) -> memoryview:
        left = len(self.content) - self.at
        if length > left:
            raise self._fault(f'{where} needs {length} bytes, and {left} are left: it is truncated')
        self.at += length
        return self.content[self.at - length : self.at]

    def _fault(self, reason: str) -> UserError:
        return UserError(f'{self.file} cannot be read as MXNet parameters: {reason}')

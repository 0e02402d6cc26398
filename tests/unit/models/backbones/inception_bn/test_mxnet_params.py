"""MXNet's files: every version of the format, and every way in which a file can be wrong."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from locations import FIXTURES

from nst_det.errors import UserError
from nst_det.models.backbones.inception_bn.mxnet_params import is_mxnet_params, read_mxnet_params

OWN_FILE = FIXTURES / 'mxnet_inception_bn.params'
TYPES = {'float32': 0, 'float64': 1, 'float16': 2, 'uint8': 3, 'int32': 4, 'bool': 7}
VERSIONS = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}


def saved_array(array: np.ndarray, version: int = 2, storage: int = 0) -> bytes:
    """An array as MXNet writes it, version 0 being the oldest."""
    head = b'' if version == 0 else struct.pack('<I', VERSIONS[version])
    head += struct.pack('<i', storage) if version >= 2 else b''
    sizes = 'I' if version == 0 else 'q'
    head += struct.pack(f'<I{array.ndim}{sizes}', array.ndim, *array.shape)
    return head + struct.pack('<iii', 1, 0, TYPES[array.dtype.name]) + array.tobytes()


def saved(arrays: dict, version: int = 2) -> bytes:
    """A list of arrays as MXNet writes it."""
    content = struct.pack('<QQQ', 0x112, 0, len(arrays))
    content += b''.join(saved_array(array, version) for array in arrays.values())
    content += struct.pack('<Q', len(arrays))
    for name in arrays:
        content += struct.pack('<Q', len(name.encode())) + name.encode()
    return content


@pytest.fixture
def read(tmp_path):
    def write_and_read(content: bytes):
        file = tmp_path / 'weights.params'
        file.write_bytes(content)
        return read_mxnet_params(file)

    return write_and_read


ARRAYS = {
    'arg:a_weight': np.arange(24, dtype='f4').reshape(2, 3, 4) / 7,
    'aux:b': np.array([1.5, -2.0], dtype='f2'),
}


@pytest.mark.parametrize('version', [0, 1, 2, 3])
def test_every_version_of_the_format_is_read(read, version):
    found = read(saved(ARRAYS, version))
    assert list(found) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        assert found[name].dtype == torch.float32
        np.testing.assert_array_equal(found[name].numpy(), expected.astype('f4'))


def test_a_scalar_of_numpys_semantics_is_one_number(read):
    assert read(saved({'a': np.array(2.5, dtype='f4')}, 3))['a'].item() == 2.5


def test_a_file_written_by_mxnet_itself_is_read_and_written_alike():
    found = read_mxnet_params(OWN_FILE)
    assert len(found) == 64
    assert found['arg:conv_1_weight'].shape == (8, 3, 7, 7)
    again = saved({name: value.numpy() for name, value in found.items()})
    assert again == OWN_FILE.read_bytes()


def test_the_reference_file_is_read(shared):
    found = read_mxnet_params(shared / 'reference' / 'mxnet_inception_bn_to_3a-0000.params')
    assert len(found) == 64
    assert sum(value.numel() for value in found.values()) * 4 < 1_389_244


WHOLE = saved(ARRAYS)


@pytest.mark.parametrize('length', range(0, len(WHOLE)))
def test_a_truncated_file_is_one_clear_line(read, length):
    with pytest.raises(UserError, match=r'^[^\n]*cannot be read as MXNet parameters: [^\n]*$'):
        read(WHOLE[:length])


@pytest.mark.parametrize(
    ('content', 'line'),
    [
        (b'hello, world', 'no list of arrays'),
        (WHOLE + b'!', '1 bytes follow its end'),
        (saved({'a': np.zeros(2)}), 'array 0 is of float64, expected float32 or float16'),
        (struct.pack('<QQQ', 0x112, 0, 2**62), 'promises 4611686018427387904 arrays'),
        (
            struct.pack('<QQQIiI2q3i', 0x112, 0, 1, VERSIONS[2], 0, 2, 2**40, 2**40, 1, 0, 0),
            'array 0 needs 4835703278458516698824704 bytes',
        ),
        (struct.pack('<QQQIiIq', 0x112, 0, 1, VERSIONS[2], 0, 1, -1), r'has the shape \(-1,\)'),
        (struct.pack('<QQQIi', 0x112, 0, 1, VERSIONS[2], 1), 'array 0 is sparse'),
        (
            struct.pack('<QQQIii', 0x112, 0, 1, VERSIONS[3], 0, -1),
            'array 0 was never initialised',
        ),
        (
            struct.pack('<QQQIii', 0x112, 0, 1, VERSIONS[3], 0, 33),
            'array 0 has 33 dimensions, expected 32 at most',
        ),
        (saved({'a': np.zeros(2, bool)}), 'array 0 is of bool, expected float32 or float16'),
        (saved({'a': np.zeros((0, 2), np.float32)}), 'array 0 was never initialised'),
        (struct.pack('<QQQI', 0x112, 0, 1, 0xF993FACB), '0xf993facb, which is no version'),
        (struct.pack('<QQQIiI', 0x112, 0, 1, VERSIONS[2], 0, 0), 'was never initialised'),
        (WHOLE[:-1] + b'\xff', 'name 1 is no text'),
        (WHOLE.replace(b'aux:b', b'').replace(b'arg:a_weight', b'x'), 'cannot be read'),
    ],
)
def test_a_foreign_or_crafted_file_is_one_clear_line(read, content, line):
    with pytest.raises(UserError, match=line):
        read(content)


def test_an_array_without_elements_is_read_where_its_version_means_it(read):
    arrays = read(saved({'a': np.zeros((0, 2), np.float32), 'b': ARRAYS['aux:b']}, version=3))
    assert arrays['a'].shape == (0, 2)
    np.testing.assert_array_equal(arrays['b'].numpy(), ARRAYS['aux:b'])


def test_two_arrays_of_one_name_are_refused(read):
    content = saved({'a': ARRAYS['aux:b'], 'b': ARRAYS['aux:b']})
    with pytest.raises(UserError, match="two arrays called 'a'"):
        read(content[:-1] + b'a')


@given(st.data())
def test_no_damage_to_a_file_does_more_than_one_clear_line(tmp_path_factory, data):
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / 'damaged.params'
    file.write_bytes(content)
    try:
        found = read_mxnet_params(file)
    except UserError as error:
        assert '\n' not in str(error)
    else:
        assert sum(math.prod(value.shape) for value in found.values()) <= len(content)


def test_other_files_are_told_apart(tmp_path):
    assert is_mxnet_params(OWN_FILE)
    assert not is_mxnet_params(Path(__file__))
    assert not is_mxnet_params(tmp_path / 'missing.params')

"""Tensors come back from their bytes as they were, and other bytes are refused."""

import numpy as np
import pytest
import torch

from nst_det.fileio.tensor_record import decode, encode, rounded

TENSORS = [
    torch.rand(2, 3, 5),
    torch.rand(4).bfloat16(),
    torch.arange(3),
    torch.tensor(True),
    torch.empty(0, 7),
    torch.rand(3, 4).T,
]


def joined(*args) -> memoryview:
    return memoryview(bytearray(b''.join(encode(*args))))


def test_tensors_come_back_bit_for_bit():
    found = decode(joined(TENSORS))
    assert len(found) == len(TENSORS)
    for tensor, expected in zip(found, TENSORS):
        assert tensor.dtype == expected.dtype and torch.equal(tensor, expected)


@pytest.mark.parametrize('stored', [torch.float16, torch.bfloat16])
def test_stored_in_half_of_the_space_they_come_back_rounded_in_their_own_type(stored):
    tensor = torch.rand(1000)
    assert len(joined([tensor], stored)) < 2300
    (found,) = decode(joined([tensor], stored))
    assert found.dtype == torch.float32
    assert torch.equal(found, tensor.to(stored).float())
    assert torch.equal(found, rounded(tensor, stored))


def test_what_is_too_large_for_float16_keeps_its_type():
    tensor = torch.tensor([1e6, 1.0])
    (found,) = decode(joined([tensor], torch.float16))
    assert torch.equal(found, tensor) and torch.equal(rounded(tensor, torch.float16), tensor)


def test_any_damage_gives_a_value_error_or_tensors_but_no_other_error():
    content = bytes(joined([torch.rand(4, 5), torch.rand(3)]))
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            damaged[place] = generator.integers(0, 256)
        cut = generator.integers(0, len(content) + 1) if generator.random() < 0.5 else len(content)
        try:
            decode(memoryview(damaged)[:cut])
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize('content', [b'', b'abc', b'\xff\xff\xff\xff', b'\x02\x00\x00\x00[5'])
def test_other_bytes_are_refused(content):
    with pytest.raises(ValueError):
        decode(memoryview(bytearray(content)))

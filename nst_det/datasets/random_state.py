"""The random generators of Python, NumPy and torch, seeded together."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_all(*key: int) -> None:
    """Seed the generators of Python, NumPy and torch, on all devices.

    Args:
        *key (int): The numbers that the seed is made of, each at least 0.
    """
    for_python, for_torch, *for_numpy = np.random.SeedSequence(key).generate_state(6).tolist()
    random.seed(for_python)
    torch.manual_seed(for_torch)
    np.random.seed(for_numpy)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the generators of a CPU inside a block, and restore their state after it.

    Args:
        *key (int): The numbers that the seed is made of, each at least 0.
    """
    for_python, for_torch, *for_numpy = np.random.SeedSequence(key).generate_state(6).tolist()
    states = random.getstate(), torch.random.get_rng_state(), np.random.get_state()
    random.seed(for_python)
    torch.random.default_generator.manual_seed(for_torch)
    np.random.seed(for_numpy)
    try:
        yield
    finally:
        random.setstate(states[0])
        torch.random.set_rng_state(states[1])
        np.random.set_state(states[2])

"""The random numbers of an iteration, without a Runner."""

import random
from types import SimpleNamespace

import numpy as np
import torch

from nst_det.engine import DistSamplerSeedHook


def drawn(iteration):
    """A random number of each generator, in an iteration of a training with seed 1."""
    DistSamplerSeedHook().before_train_iter(SimpleNamespace(seed=1, iter=iteration), batch_idx=0)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_the_random_numbers_of_an_iteration_do_not_depend_on_what_was_drawn_before():
    first = drawn(3)
    torch.rand(5), np.random.rand(5), random.random()
    assert drawn(3) == first


def test_each_iteration_has_its_own_random_numbers():
    assert not set(drawn(3)) & set(drawn(4))

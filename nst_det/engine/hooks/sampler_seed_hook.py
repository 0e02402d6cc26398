"""Random numbers that a resumed training draws as the uninterrupted one would have."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.hooks import DistSamplerSeedHook as _DistSamplerSeedHook
from mmengine.runner import Runner

STEP, DATA = 0, 1  # the two streams of random numbers


@HOOKS.register_module()
class DistSamplerSeedHook(_DistSamplerSeedHook):
    """mmengine's hook, which besides seeds every iteration by its number.

    What an iteration draws (a head's sampled boxes, dropout) then depends on the training's seed
    and the iteration alone, and what the loading of a batch draws (a flip) on the seed, the epoch
    and the batch's place in it: not on what was drawn before, such as by a validation that the
    resumed training does not repeat. So no generator's state needs to be in a checkpoint, and any
    number of processes resume alike.

    It takes the place of mmengine's in every config of mmdet's scope, where it is a default hook.
    """

    priority = 'LOWEST'  # whatever another hook draws comes before

    def before_train(self, runner: Runner) -> None:
        """See to it that each batch is loaded with random numbers of its own."""
        loader = runner.train_dataloader
        if loader.num_workers == 0:  # a worker has generators of its own
            loader.collate_fn = self._then_seed(runner, loader.collate_fn)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the sampler's epoch, and the seed of the epoch's first batch."""
        super().before_train_epoch(runner)
        # Workers that persist would go on with the last epoch's generators, which a resumed
        # training lacks. Starting them anew takes a tenth of a second where they are forked.
        runner.train_dataloader._iterator = None
        self.loaded = 0
        self._seed_loading(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the iteration draws."""
        seed_all(runner.seed, STEP, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Seed what the loading of the next batch draws."""
        self._seed_loading(runner)

    def after_val(self, runner: Runner) -> None:
        """The same, after what a validation drew between two iterations."""
        if hasattr(self, 'loaded'):  # the training has begun
            self._seed_loading(runner)

    def _seed_loading(self, runner: Runner) -> None:
        seed_all(runner.seed, DATA, runner.epoch, self.loaded)

    def _then_seed(self, runner: Runner, collate: Callable) -> Callable:
        """Count the batches; resuming loads some of them without any iteration in between."""

        def collate_and_seed(samples: list) -> object:
            batch = collate(samples)
            self.loaded += 1
            self._seed_loading(runner)
            return batch

        return collate_and_seed


def seed_all(*key: int) -> None:
    """Seed Python's, numpy's and torch's generators, those of all devices.

    Args:
        *key (int): What the seed is made of: any number of whole numbers of at least 0.
    """
    for_python, for_torch, *for_numpy = np.random.SeedSequence(key).generate_state(6).tolist()
    random.seed(for_python)
    torch.manual_seed(for_torch)
    np.random.seed(for_numpy)

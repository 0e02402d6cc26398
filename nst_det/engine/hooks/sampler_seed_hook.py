"""A seed for every iteration and every batch, so that a resumed training repeats nothing."""

from collections.abc import Callable
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import DistSamplerSeedHook as _DistSamplerSeedHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from nst_det.datasets.fixed_views import set_epoch
from nst_det.datasets.random_state import seed_all

STEP, DATA = 0, 1  # the two streams of random numbers


@HOOKS.register_module()
class DistSamplerSeedHook(_DistSamplerSeedHook):
    """The hook of mmengine, which here also seeds every iteration by its number.

    Random numbers in an iteration (sampled boxes, dropout) then depend only on the seed of the
    training and the iteration. Random numbers in loading a batch (flips) depend only on the seed,
    the epoch and the position of the batch in it. Neither depends on numbers that were drawn
    before, such as by a validation that the resumed training does not repeat. So a checkpoint needs
    no state of a generator, and any number of processes resumes in the same way.

    In the scope of mmdet it replaces the hook of mmengine, which is one of the default hooks.
    """

    priority = 'LOWEST'  # after every hook that may draw random numbers

    def before_train(self, runner: Runner) -> None:
        """Seed the loading of every batch."""
        loader = runner.train_dataloader
        if loader.num_workers == 0:  # a worker has its own generators
            loader.collate_fn = self._then_seed(runner, loader.collate_fn)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch of the sampler and of the views, and the seed of the first batch."""
        super().before_train_epoch(runner)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            set_epoch(runner.train_dataloader.dataset, runner.epoch)
        # Persistent workers would keep the generators of the last epoch, which a resumed training
        # does not have. Starting them again takes a tenth of a second if they are forked.
        runner.train_dataloader._iterator = None
        self.loaded = 0
        self._seed_loading(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the iteration."""
        seed_all(runner.seed, STEP, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Seed the loading of the next batch."""
        self._seed_loading(runner)

    def after_val(self, runner: Runner) -> None:
        """Seed the loading again, after a validation between two iterations."""
        if hasattr(self, 'loaded'):  # the training has begun
            self._seed_loading(runner)

    def _seed_loading(self, runner: Runner) -> None:
        seed_all(runner.seed, DATA, runner.epoch, self.loaded)

    def _then_seed(self, runner: Runner, collate: Callable) -> Callable:
        """Seed after each batch too: resuming loads batches without an iteration in between."""

        def collate_and_seed(samples: list) -> object:
            batch = collate(samples)
            self.loaded += 1
            self._seed_loading(runner)
            return batch

        return collate_and_seed

"""One line an epoch: where the training is and when it will end."""

import time
from datetime import timedelta

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner


@HOOKS.register_module()
class EpochProgressHook(Hook):
    """Says after every epoch how far the training is, its mean loss, and the time that is left.

    ``Epoch 3/5 done in 0:00:03: loss 6.47, mmd2_backbone_inception_4b 0.0166; eta 0:00:06``

    The estimate takes the epochs so far, validations and all, for those to come; that of mmengine's
    LoggerHook, every few iterations, knows the iterations alone.
    """

    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self.first = runner.epoch
        self.started = self.last = time.monotonic()

    def after_train_epoch(self, runner: Runner) -> None:
        """Say it, to the log and so to the terminal."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return  # it has iterations alone
        now = time.monotonic()
        done = runner.epoch + 1
        left = (runner.max_epochs - done) * (now - self.started) / (done - self.first)
        means = {
            key.removeprefix('train/'): buffer.mean(len(runner.train_dataloader))
            for key, buffer in runner.message_hub.log_scalars.items()
            if key == 'train/loss' or key.startswith('train/mmd2_')
        }
        shown = ', '.join(f'{key} {value:.3g}' for key, value in means.items())
        runner.logger.info(
            f'Epoch {done}/{runner.max_epochs} done in {_clock(now - self.last)}: {shown}; '
            f'eta {_clock(left)}'
        )
        self.last = now


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

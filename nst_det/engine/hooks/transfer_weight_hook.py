"""Schedules: a transfer's weight that warms up, decays and stops."""

import math
import sys
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.config.options import checked_options
from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError, nearest
from nst_det.models.distillers import NSTDistiller


@HOOKS.register_module()
@checked_options
class TransferWeightHook(Hook):
    """Multiplies the weights λ of an :class:`NSTDistiller`'s transfers by a factor of the time.

    The factor rises linearly from ``start_factor`` to 1 during ``warmup``, stays at 1, falls to
    ``end_factor`` during ``decay``, stays there, and is 0 from ``stop`` on. While every transfer's
    weight is 0 the teacher does not run.

    It depends on the iteration alone, so a resumed training goes on with the weights that it would
    have had. The log shows each transfer's weight as ``weight_…``.

    Args:
        warmup (int or float): Length of the rise, 0 for none. Defaults to 0.
        start_factor (float): The factor that the rise begins with, 0 to 1. Defaults to 0.0.
        decay (tuple, optional): Begin and end of the fall. Defaults to None, no fall.
        end_factor (float): The factor that the fall ends with, 0 to 1. Defaults to 0.0.
        curve (str): The fall's shape, ``'linear'`` or ``'cosine'``. Defaults to ``'linear'``.
        stop (int or float, optional): When the transfers end. Defaults to None, never.
        by_epoch (bool): All times are in epochs rather than iterations; the factor still changes
            with every iteration, and an epoch may be given in parts (0.5). Defaults to False.
        transfers (list[str], optional): The student layers of the transfers that it is for.
            Defaults to None, all of them.

    Raises:
        UserError: Where an option is out of range or could have no effect.
    """

    def __init__(
        self,
        warmup: float = 0,
        start_factor: float = 0.0,
        decay: tuple[float, float] | None = None,
        end_factor: float = 0.0,
        curve: str = 'linear',
        stop: float | None = None,
        by_epoch: bool = False,
        transfers: list[str] | None = None,
    ) -> None:
        self.warmup = _number('warmup', warmup)
        self.start_factor = _number('start_factor', start_factor, most=1)
        self.decay = None
        if decay is not None:
            if not isinstance(decay, (list, tuple)) or len(decay) != 2:
                raise _mistake('decay', decay, 'the begin and the end of the fall, as (1000, 4000)')
            self.decay = tuple(_number('decay', time) for time in decay)
        self.end_factor = _number('end_factor', end_factor, most=1)
        if curve not in ('linear', 'cosine'):
            raise _mistake('curve', curve, "'linear' or 'cosine'")
        self.curve = curve
        self.stop = None if stop is None else _number('stop', stop)
        if transfers is not None and (not transfers or not isinstance(transfers, (list, tuple))):
            raise _mistake('transfers', transfers, 'a list of student layers, or None for all')
        for layer in transfers or ():
            if not isinstance(layer, str):
                raise _mistake('transfers', transfers, 'a list of student layers, or None for all')
        if not isinstance(by_epoch, bool):
            raise _mistake('by_epoch', by_epoch, 'True or False')
        self.by_epoch = by_epoch
        self.layers = transfers
        self._check_effect()

    def _check_effect(self) -> None:
        times = [self.warmup, *(self.decay or ()), *(() if self.stop is None else (self.stop,))]
        if times != sorted(times) or (self.decay and self.decay[0] == self.decay[1]):
            raise UserError(
                f'TransferWeightHook: warmup={self.warmup}, decay={self.decay}, stop={self.stop} '
                'are not in order: the warm-up must end before the fall begins, and the fall '
                'before the stop'
            )
        if times == [0]:
            raise UserError(
                'TransferWeightHook has no warmup, decay or stop, so it changes nothing: give one'
            )
        if self.start_factor and not self.warmup:
            raise UserError('TransferWeightHook: start_factor needs a warmup, and that is 0')
        if (self.end_factor or self.curve != 'linear') and not self.decay:
            raise UserError('TransferWeightHook: end_factor and curve need a decay=(begin, end)')

    def factor(self, time: float) -> float:
        """The factor at a time.

        Args:
            time (float): Iterations or epochs since the training's beginning, from 0.

        Returns:
            float: The factor, 0 to 1.
        """
        if self.stop is not None and time >= self.stop:
            return 0.0
        if time < self.warmup:
            return self.start_factor + (1 - self.start_factor) * time / self.warmup
        if self.decay is None or time <= self.decay[0]:
            return 1.0
        begin, end = self.decay
        done = min((time - begin) / (end - begin), 1.0)
        if self.curve == 'cosine':
            done = (1 - math.cos(math.pi * done)) / 2
        return 1 + (self.end_factor - 1) * done

    def before_train(self, runner: Runner) -> None:
        """Find the transfers.

        Raises:
            UserError: Where the model is no distiller, has no such transfer, or another hook
                schedules it too.
        """
        model = unwrap_model(runner)
        if not isinstance(model, NSTDistiller):
            raise UserError(
                'TransferWeightHook schedules the transfers of an NSTDistiller, and the model is a '
                f'{type(model).__name__}: take the hook out of custom_hooks'
            )
        layers = [transfer.layer for transfer in model.transfers]
        for layer in self.layers or ():
            if layer not in layers:
                raise UserError(
                    f"TransferWeightHook: there is no transfer at '{layer}': "
                    f'{nearest(layer, layers)}'
                )
        self.transfers = [
            transfer
            for transfer, layer in zip(model.transfers, layers)
            if self.layers is None or layer in self.layers
        ]
        for other in runner.hooks:
            if other is self or not isinstance(other, TransferWeightHook):
                continue
            both = set(self.layers or layers) & set(other.layers or layers)
            if both:
                raise UserError(
                    f"two TransferWeightHooks schedule the transfer at '{min(both)}': name other "
                    'transfers in each'
                )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the weights of the iteration to come."""
        time = runner.iter / len(runner.train_dataloader) if self.by_epoch else runner.iter
        factor = self.factor(time)
        for transfer in self.transfers:
            transfer.factor = factor
            runner.message_hub.update_scalar(f'train/weight_{transfer.log_name}', transfer.weight)


def _number(option: str, value: object, most: float = sys.float_info.max) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        wanted = 'a number of at least 0' if most > 1 else f'a number from 0 to {most}'
        raise _mistake(option, value, wanted)
    return value


def _mistake(option: str, value: object, wanted: str) -> UserError:
    return UserError(f'TransferWeightHook: {option} is {value!r:.80}, expected {wanted}')

"""A schedule for the weight of a transfer: warm-up, decay and stop."""

import math
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.config.options import checked_options
from nst_det.config.validators import check_choice, check_flag, check_number, wrong_value
from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError, nearest
from nst_det.models.distillers import NSTDistiller


@HOOKS.register_module()
@checked_options
class TransferWeightHook(Hook):
    """Multiplies the weights λ of the transfers of an :class:`NSTDistiller` by a factor over time.

    The factor rises linearly from ``start_factor`` to 1 during ``warmup``, stays at 1, falls to
    ``end_factor`` during ``decay``, stays there, and is 0 from ``stop`` on. While the weight of
    every transfer is 0, the teacher does not run.

    The factor depends on the iteration alone, so a resumed training continues with the weights of
    the uninterrupted one. The log shows the weight of each transfer as ``weight_…``.

    Args:
        warmup (int or float): Length of the warm-up, 0 for none. Defaults to 0.
        start_factor (float): The factor at the start of the warm-up, 0 to 1. Defaults to 0.0.
        decay (tuple, optional): Begin and end of the decay. Defaults to None, no decay.
        end_factor (float): The factor at the end of the decay, 0 to 1. Defaults to 0.0.
        curve (str): The shape of the decay, ``'linear'`` or ``'cosine'``. Defaults to ``'linear'``.
        stop (int or float, optional): When the transfers stop. Defaults to None, never.
        by_epoch (bool): All times are in epochs, which may be fractions (0.5), instead of
            iterations. The factor still changes with every iteration. Defaults to False.
        transfers (list[str], optional): The student layers of the transfers to schedule. Defaults
            to None, all of them.

    Raises:
        UserError: If an option is out of range, or could not have any effect.
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
        self.warmup = check_number('warmup', warmup, minimum=0)
        self.start_factor = check_number('start_factor', start_factor, minimum=0, maximum=1)
        self.decay = None
        if decay is not None:
            if not isinstance(decay, (list, tuple)) or len(decay) != 2:
                raise wrong_value('decay', decay, 'begin and end of the decay, as (1000, 4000)')
            self.decay = tuple(check_number('decay', time, minimum=0) for time in decay)
        self.end_factor = check_number('end_factor', end_factor, minimum=0, maximum=1)
        self.curve = check_choice('curve', curve, ('linear', 'cosine'))
        self.stop = None if stop is None else check_number('stop', stop, minimum=0)
        if transfers is not None:
            is_list = isinstance(transfers, (list, tuple)) and len(transfers)
            if not (is_list and all(isinstance(layer, str) for layer in transfers)):
                raise wrong_value('transfers', transfers, 'a list of student layers, or None')
        self.by_epoch = check_flag('by_epoch', by_epoch)
        self.layers = transfers
        self._check_effect()

    def _check_effect(self) -> None:
        """Refuse options that contradict each other, or that change nothing."""
        times = [self.warmup, *(self.decay or ())]
        if self.stop is not None:
            times.append(self.stop)
        if times != sorted(times) or (self.decay and self.decay[0] == self.decay[1]):
            raise UserError(
                f'TransferWeightHook: warmup={self.warmup}, decay={self.decay}, stop={self.stop} '
                'are not in order: warmup must end before decay begins, and decay must end before '
                'stop'
            )
        if times == [0]:
            raise UserError(
                'TransferWeightHook has no warmup, decay or stop, so it changes nothing: give one'
            )
        if self.start_factor and not self.warmup:
            raise UserError('start_factor needs a warmup greater than 0', 'start_factor')
        if (self.end_factor or self.curve != 'linear') and not self.decay:
            option = 'end_factor' if self.end_factor else 'curve'
            raise UserError(f'{option} needs decay=(begin, end)', option)

    def factor(self, time: float) -> float:
        """Compute the factor at a time.

        Args:
            time (float): Iterations or epochs since the beginning of the training, from 0.

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
        progress = min((time - begin) / (end - begin), 1.0)
        if self.curve == 'cosine':
            progress = (1 - math.cos(math.pi * progress)) / 2
        return 1 + (self.end_factor - 1) * progress

    def before_train(self, runner: Runner) -> None:
        """Find the transfers.

        Raises:
            UserError: If the model is not a distiller, has no such transfer, or another hook
                schedules the same transfer.
        """
        model = unwrap_model(runner)
        # A semi-supervised detector has a distiller inside it.
        distillers = [part for part in model.modules() if isinstance(part, NSTDistiller)]
        if not distillers:
            raise UserError(
                'TransferWeightHook schedules the transfers of an NSTDistiller, but the model is a '
                f'{type(model).__name__}: take the hook out of custom_hooks'
            )
        transfers = distillers[0].transfers
        layers = [transfer.layer for transfer in transfers]
        for layer in self.layers or ():
            if layer not in layers:
                raise UserError(
                    f"TransferWeightHook: there is no transfer at '{layer}': "
                    f'{nearest(layer, layers)}'
                )
        self.transfers = [
            transfer
            for transfer in transfers
            if self.layers is None or transfer.layer in self.layers
        ]
        self._check_auto_weights()
        self._check_other_hooks(runner, layers)

    def _check_auto_weights(self) -> None:
        for transfer in self.transfers:
            if transfer.loss.auto_weight and not self.factor(0):
                raise UserError(
                    f"TransferWeightHook turns the transfer at '{transfer.layer}' off at the start "
                    f'(factor {self.factor(0):g}), but its loss_weight is measured in the first '
                    'iterations: give start_factor a value above 0, or loss_weight a number'
                )

    def _check_other_hooks(self, runner: Runner, layers: list[str]) -> None:
        for hook in runner.hooks:
            if hook is self or not isinstance(hook, TransferWeightHook):
                continue
            both = set(self.layers or layers) & set(hook.layers or layers)
            if both:
                raise UserError(
                    f"two TransferWeightHooks schedule the transfer at '{min(both)}': name "
                    'different transfers in each'
                )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the weights for the next iteration, and log them."""
        time = runner.iter / len(runner.train_dataloader) if self.by_epoch else runner.iter
        factor = self.factor(time)
        for transfer in self.transfers:
            transfer.factor = factor
            runner.message_hub.update_scalar(f'train/weight_{transfer.log_name}', transfer.weight)

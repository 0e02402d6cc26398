"""Keeps what is no number out of the weights."""

from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError
from nst_det.models.distillers import NSTDistiller
from nst_det.models.distillers.check_finite import check_finite

SKIPPED = 'skipped_iterations'
MOST_LEFT_OUT = 50  # steps in succession, in which GradScaler's scale falls from 2^16 to 2^-34


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training, or skips its step, where a loss or a gradient is infinite or NaN.

    A gradient that is no number never reaches the weights: the optimizer's step is left out. Then
    the losses, or else the parameters, are named with the iteration and its images. With fp16 the
    GradScaler leaves out steps by itself, which is its way of finding the scale and no fault; 50
    left out in succession are one, and stop the training.

    A skipped iteration leaves the weights, the batch norms' statistics and the optimizer as they
    were; learning rate and schedules go on, and gradients accumulated so far are dropped.

    Args:
        max_skips (int): How many iterations may be skipped in the whole training, resumed parts
            included; the next one stops it. Defaults to 0: the first stops it.

    Raises:
        UserError: Where ``max_skips`` is no whole number of at least 0.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_skips: int = 0) -> None:
        if isinstance(max_skips, bool) or not isinstance(max_skips, int) or max_skips < 0:
            raise UserError(
                f'FiniteLossHook: max_skips is {max_skips!r}, expected a whole number of at least 0'
            )
        self.max_skips = max_skips
        self.fault = ''
        self.left_out = 0

    def before_train(self, runner: Runner) -> None:
        """Stand in front of the optimizer."""
        wrapper = runner.optim_wrapper
        model = unwrap_model(runner)
        if isinstance(model, NSTDistiller):
            model.stops_where_not_finite = not self.max_skips
        self.names = {id(value): name for name, value in model.named_parameters()}
        wrappers = [wrapper] if hasattr(wrapper, 'optimizer') else list(wrapper.values())
        self.scaled = [one for one in wrappers if hasattr(one, 'loss_scaler')]
        for one in wrappers:
            one.optimizer.register_step_pre_hook(self._before_step)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch norms' statistics, which a forward pass changes."""
        self.fault = ''
        self.stepped = False
        if self.max_skips:
            self.buffers = [(one, one.clone()) for one in runner.model.buffers()]

    def _before_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        self.stepped = True
        learning = [
            one
            for group in optimizer.param_groups
            for one in group['params']
            if one.grad is not None
        ]
        if not learning:
            return
        sums = torch.stack([one.grad.sum().float() for one in learning]).isfinite()
        if not sums.all():
            names = [self.names.get(id(learning[i]), '?') for i in (~sums).nonzero().flatten()]
            self.fault = f'{names[0]} and {len(names) - 1} more' if names[1:] else names[0]
            optimizer.zero_grad(set_to_none=True)  # so that there is nothing to step by

    def _count_left_out(self, iteration: int) -> None:
        if self.stepped:
            self.left_out = 0
        elif any(one.should_update() for one in self.scaled):
            self.left_out += 1
        if self.left_out >= MOST_LEFT_OUT:
            raise UserError(
                f'gradient not finite at iteration {iteration + 1}, as in the {MOST_LEFT_OUT - 1} '
                'steps before, all left out by the GradScaler: train without --amp, or with '
                "optim_wrapper.dtype='bfloat16' where the device has it"
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Check the iteration.

        Raises:
            UserError: Where a loss or a gradient is infinite or NaN, and none may be skipped.
        """
        self._count_left_out(runner.iter)
        try:
            check_finite(outputs or {}, runner.iter)
            if not self.fault:
                return
            fault = f'gradient not finite at iteration {runner.iter + 1}: that of {self.fault}'
        except UserError as error:
            fault = str(error)
        fault += f' (images: {", ".join(image_paths(data_batch)) or "unknown"})'
        skipped = runner.message_hub.runtime_info.get(SKIPPED, 0)
        if skipped >= self.max_skips:
            told = f'; {skipped} iterations were skipped before' if skipped else ''
            raise UserError(fault + told)
        runner.optim_wrapper.zero_grad()
        with torch.no_grad():
            for buffer, before in self.buffers:
                buffer.copy_(before)
        runner.message_hub.update_info(SKIPPED, skipped + 1)
        runner.logger.warning(f'skipped ({skipped + 1} of at most {self.max_skips}): {fault}')


def image_paths(data_batch: object) -> list[str]:
    """Find the paths of a batch's images.

    Args:
        data_batch (object): What a data loader gave.

    Returns:
        list[str]: The paths, as far as the samples say.
    """
    samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
    return [str(one.get('img_path')) for one in samples if 'img_path' in one]

"""A check that keeps NaN and infinite values out of the weights."""

import math
from functools import partial
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.nn.utils import clip_grad_norm_

from nst_det.config.validators import check_integer
from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError
from nst_det.models.distillers import NSTDistiller
from nst_det.models.distillers.check_finite import check_finite

SKIPPED = 'skipped_iterations'
MAX_SCALER_SKIPS = 50  # in that many steps, the scale of GradScaler falls from 2^16 to 2^-34


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training, or skips an iteration, if a loss or a gradient is NaN or infinite.

    The optimizer never steps with such a gradient. The error names the losses, or else the
    parameters, with the iteration and its images. With fp16, GradScaler skips steps by itself while
    it searches for a scale, and that is no error; 50 steps skipped one after another are an error,
    and stop the training.

    A skipped iteration leaves the weights, the statistics of the batch norms and the optimizer as
    they were. The learning rate and other schedules continue, and gradients accumulated so far are
    dropped.

    Args:
        max_skips (int): The number of iterations that may be skipped in the complete training,
            resumed parts included; one more stops it. Defaults to 0: the first one stops it.

    Raises:
        UserError: If ``max_skips`` is not a whole number of at least 0.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_skips: int = 0) -> None:
        self.max_skips = check_integer('max_skips', max_skips, minimum=0)
        self.fault = ''
        self.scaler_skips = 0

    def before_train(self, runner: Runner) -> None:
        """Register the check of the gradients with the optimizers."""
        wrapper = runner.optim_wrapper
        model = unwrap_model(runner)
        self.model_checks_losses = isinstance(model, NSTDistiller) and not self.max_skips
        if isinstance(model, NSTDistiller):
            model.checks_losses = self.model_checks_losses
        self.names = {id(value): name for name, value in model.named_parameters()}
        wrappers = [wrapper] if hasattr(wrapper, 'optimizer') else list(wrapper.values())
        self.scaled = [wrapper for wrapper in wrappers if hasattr(wrapper, 'loss_scaler')]
        for wrapper in wrappers:
            wrapper.optimizer.register_step_pre_hook(partial(self._before_step, wrapper))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Copy the buffers, such as batch norm statistics, if the iteration may be skipped."""
        self.fault = ''
        self.stepped = False
        if self.max_skips:
            self.buffers = [(buffer, buffer.clone()) for buffer in runner.model.buffers()]

    def _before_step(
        self, wrapper: OptimWrapper, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict
    ) -> None:
        """Drop the gradients before a step if one of them is NaN or infinite."""
        self.stepped = True
        parameters = [
            parameter
            for group in optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not parameters or math.isfinite(_norm_before_clipping(wrapper)):
            return
        finite = torch.stack(
            [value.grad.sum(dtype=torch.float32) for value in parameters]
        ).isfinite()
        if not finite.all():
            faults = (~finite).nonzero().flatten().tolist()
            self.fault = self.names.get(id(parameters[faults[0]]), 'a parameter')
            if len(faults) > 1:
                self.fault += f' and {len(faults) - 1} more'
            optimizer.zero_grad(set_to_none=True)  # a step without gradients changes nothing

    def _count_scaler_skips(self, iteration: int) -> None:
        """Count the steps that GradScaler skipped one after another."""
        if self.stepped:
            self.scaler_skips = 0
        elif any(wrapper.should_update() for wrapper in self.scaled):
            self.scaler_skips += 1
        if self.scaler_skips >= MAX_SCALER_SKIPS:
            raise UserError(
                f'gradient not finite at iteration {iteration + 1}, as in the '
                f'{MAX_SCALER_SKIPS - 1} steps before, all skipped by GradScaler: train without '
                "--amp, or with optim_wrapper.dtype='bfloat16' if the device supports it"
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop the training, or skip the iteration, if a loss or a gradient was not finite.

        Raises:
            UserError: If no iteration may be skipped any more.
        """
        self._count_scaler_skips(runner.iter)
        fault = self._find_fault(runner.iter, outputs or {})
        if not fault:
            return
        fault += f' (images: {", ".join(image_paths(data_batch)) or "unknown"})'
        skipped = runner.message_hub.runtime_info.get(SKIPPED, 0)
        if skipped >= self.max_skips:
            before = f'; {skipped} iterations were skipped before' if skipped else ''
            raise UserError(fault + before)
        self._skip(runner)
        runner.message_hub.update_info(SKIPPED, skipped + 1)
        runner.logger.warning(f'skipped ({skipped + 1} of at most {self.max_skips}): {fault}')

    def _find_fault(self, iteration: int, losses: dict) -> str:
        """Describe what was not finite in an iteration; '' if nothing."""
        if self.model_checks_losses and not self.fault:
            return ''
        try:
            check_finite(losses, iteration)
        except UserError as error:
            return str(error)
        if self.fault:
            return f'gradient not finite at iteration {iteration + 1}: that of {self.fault}'
        return ''

    def _skip(self, runner: Runner) -> None:
        """Drop the gradients of an iteration, and restore the buffers."""
        runner.optim_wrapper.zero_grad()
        with torch.no_grad():
            for buffer, before in self.buffers:
                buffer.copy_(before)


def _norm_before_clipping(wrapper: OptimWrapper) -> float:
    """The norm of the gradients that mmengine computed to clip them; NaN if it did not."""
    if not wrapper.clip_grad_kwargs or wrapper.clip_func is not clip_grad_norm_:
        return math.nan
    return float(wrapper.message_hub.get_scalar(f'train/{wrapper.grad_name}').current())


def image_paths(data_batch: object) -> list[str]:
    """Find the paths of a batch's images.

    Args:
        data_batch (object): A batch of a data loader.

    Returns:
        list[str]: The paths, as far as the samples have them.
    """
    samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
    return [str(sample.get('img_path')) for sample in samples if 'img_path' in sample]

"""Lays a detector out in memory as convolutions work on it."""

from collections.abc import Sequence

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from nst_det.errors import UserError


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keeps a detector's kernels, and so its maps, in memory with their channels last.

    Training, validation and test alike; results stay the same to float32 rounding, and checkpoints
    fit whatever was trained without. Of an NSTDistiller it is the student: its teacher has
    ``teacher.channels_last``. A model that is spread over several processes is left as it is, and
    the log says so: DDP has laid out its gradients by then, and would mix them up.

    Args:
        devices (Sequence[str]): On which types of device. Defaults to ``('cpu',)``.

    Raises:
        UserError: Where ``devices`` names none.
    """

    def __init__(self, devices: Sequence[str] = ('cpu',)) -> None:
        listed = isinstance(devices, (list, tuple)) and len(devices)
        if not (listed and all(map(_is_device, devices))):
            raise UserError(
                f'ChannelsLastHook: devices is {devices!r:.80}, expected types of device such as '
                "('cpu', 'cuda')"
            )
        self.devices = tuple(devices)

    def before_run(self, runner: Runner) -> None:
        """Say so where it will do nothing."""
        if is_model_wrapper(runner.model):
            runner.logger.info('ChannelsLastHook does nothing in several processes')

    def before_train(self, runner: Runner) -> None:
        """Lay out the kernels, which the maps follow, once all weights are there.

        Not before: random weights are drawn in the order that they have in memory.
        """
        if not is_model_wrapper(runner.model):
            lay_out_channels_last(runner.model, self.devices)

    before_val = before_test = before_train


def lay_out_channels_last(model: nn.Module, devices: Sequence[str] = ('cpu',)) -> None:
    """Lay out a model's kernels with their channels last, which its maps follow.

    Args:
        model (nn.Module): The model; of a distiller it is the student, for the teacher is none of
            its modules.
        devices (Sequence[str]): On which types of device. Defaults to ``('cpu',)``.
    """
    for one in model.parameters():
        if one.dim() == 4 and one.device.type in devices:
            one.data = one.data.contiguous(memory_format=torch.channels_last)


def _is_device(name: object) -> bool:
    try:
        return isinstance(name, str) and torch.device(name).type == name
    except RuntimeError:
        return False

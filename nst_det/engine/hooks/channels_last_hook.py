"""A hook that stores a detector channels last, as convolutions compute fastest on a CPU."""

from collections.abc import Sequence

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from nst_det.config.validators import wrong_value


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Stores the convolution weights of a detector, and so its feature maps, channels last.

    It does so for training, validation and test. Results stay the same to float32 rounding, and
    checkpoints are the same. Of an ``NSTDistiller`` it is the student; the teacher has the option
    ``teacher.channels_last``. In a training on several processes the hook does nothing, and the log
    says so: DDP has chosen the memory layout of its gradients by then, and would mix them up.

    Args:
        devices (Sequence[str]): The types of device for which it does so. Defaults to
            ``('cpu',)``.

    Raises:
        UserError: If ``devices`` is not a list of types of device.
    """

    def __init__(self, devices: Sequence[str] = ('cpu',)) -> None:
        is_list = isinstance(devices, (list, tuple)) and len(devices)
        if not (is_list and all(map(_is_device, devices))):
            raise wrong_value('devices', devices, "types of device such as ('cpu', 'cuda')")
        self.devices = tuple(devices)

    def before_run(self, runner: Runner) -> None:
        """Log that the hook does nothing in several processes."""
        if is_model_wrapper(runner.model):
            runner.logger.info('ChannelsLastHook does nothing in several processes')

    def before_train(self, runner: Runner) -> None:
        """Store the weights channels last, after they are initialised or loaded.

        Random weights are drawn in their order in memory, so it cannot be earlier.
        """
        if not is_model_wrapper(runner.model):
            store_channels_last(runner.model, self.devices)

    before_val = before_test = before_train


def store_channels_last(model: nn.Module, devices: Sequence[str] = ('cpu',)) -> None:
    """Store the weights of a model channels last; its feature maps follow.

    Args:
        model (nn.Module): The model; of a distiller it is the student, because the teacher is none
            of its modules.
        devices (Sequence[str]): The types of device for which it does so. Defaults to
            ``('cpu',)``.
    """
    for parameter in model.parameters():
        if parameter.dim() == 4 and parameter.device.type in devices:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _is_device(name: object) -> bool:
    try:
        return isinstance(name, str) and torch.device(name).type == name
    except RuntimeError:
        return False

"""The model of a runner, without the wrapper of a parallel training."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrap_model(runner: Runner) -> nn.Module:
    """Return the model of a runner, taken out of its wrapper (such as DDP) if it has one.

    Args:
        runner (Runner): The runner.

    Returns:
        nn.Module: The model.
    """
    return runner.model.module if is_model_wrapper(runner.model) else runner.model

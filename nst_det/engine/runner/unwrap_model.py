"""The model in training, without what spreads it over processes."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrap_model(runner: Runner) -> nn.Module:
    """The model of a runner, out of its wrapper (such as DDP) where it has one.

    Args:
        runner (Runner): The runner.

    Returns:
        nn.Module: The model itself.
    """
    return runner.model.module if is_model_wrapper(runner.model) else runner.model

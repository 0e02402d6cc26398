"""Starting a training or a test: its checkpoints are checked first, and each is read once."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import Tensor

from nst_det.engine.runner.check_strategy import check_strategy
from nst_det.engine.runner.resume import (
    last_checkpoint,
    latest_training,
    read_training,
    resume_with_clear_errors,
)
from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError
from nst_det.fileio.checkpoint import reading_once
from nst_det.fileio.fit import select_all, select_fitting
from nst_det.fileio.state_dict import read_state_dict


def start_training(cfg: Config) -> None:
    """Train the model of a config, after a check of the checkpoints that it starts from.

    Args:
        cfg (Config): The complete config. ``load_from`` names a checkpoint to start from, or with
            ``resume=True`` the checkpoint to resume; without ``load_from``, ``resume=True`` resumes
            the newest checkpoint of ``work_dir``. If the weights in it stand under a prefix that
            cannot be found, ``load_from_prefix`` names the prefix.

    Raises:
        UserError: If the training would overwrite another one, cannot resume, or cannot take the
            weights that it should start from.
    """
    check_strategy(cfg)
    with ExitStack() as start:
        start.enter_context(reading_once())
        check_start(cfg)
        runner = build_runner(cfg)
        if cfg.get('load_from'):
            select = select_all if cfg.get('resume') else select_fitting
            weights = read_state_dict(cfg.load_from, prefix=cfg.get('load_from_prefix'))
            weights = select(unwrap_model(runner), weights, cfg.load_from, 'detector')
            runner.register_hook(SelectedWeights(weights), 'VERY_HIGH')
            del weights
        resume_with_clear_errors(runner)
        _call_after_loading(runner, start.close)
        runner.train()


def start_testing(cfg: Config, metrics: Sequence[BaseMetric] = ()) -> None:
    """Test a checkpoint, after a check that it fits the model.

    Args:
        cfg (Config): The complete config. ``load_from`` names the checkpoint, and if it is needed
            ``load_from_prefix`` the prefix of the weights in it.
        metrics (Sequence[BaseMetric]): Metrics besides those of the config. Defaults to ().

    Raises:
        UserError: If the checkpoint cannot be read or does not fit.
    """
    with ExitStack() as start:
        start.enter_context(reading_once())
        prefix = cfg.get('load_from_prefix')
        weights = read_state_dict(cfg.load_from, prefix=prefix)  # building the model takes longer
        runner = build_runner(cfg)
        model = getattr(runner.model, 'module', runner.model)  # out of DDP, or of --tta's wrapper
        weights = select_all(model, weights, cfg.load_from, 'detector')
        runner.register_hook(SelectedWeights(weights), 'VERY_HIGH')
        del weights
        runner.test_evaluator.metrics.extend(metrics)
        _call_after_loading(runner, start.close)
        runner.test()


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config.

    Args:
        cfg (Config): The complete config. ``runner_type`` may name another class than mmengine's.

    Returns:
        Runner: The runner.
    """
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def check_start(cfg: Config) -> None:
    """Find the checkpoint from which a training starts, before anything is built or written.

    Args:
        cfg (Config): The complete config. With ``resume=True`` its ``load_from`` and its seed are
            set to those of the training that resumes.

    Raises:
        UserError: If the training would overwrite another one, or cannot resume.
    """
    last = last_checkpoint(cfg.work_dir)
    if cfg.get('resume'):
        cfg.load_from = cfg.get('load_from') or latest_training(cfg.work_dir)
        if cfg.load_from:
            # mmengine takes the seed from the checkpoint too late for the order of the data.
            seed = read_training(cfg.load_from)['meta'].get('seed')
            cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    elif last:
        raise UserError(
            f'{cfg.work_dir} holds a training already ({Path(last).name}): resume it with '
            '--resume, or choose another --work-dir'
        )


class SelectedWeights(Hook):
    """Gives a runner the weights that were selected from its checkpoint, before any other hook.

    Args:
        weights (dict[str, Tensor]): The weights by the names of the model.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights: dict[str, Tensor] | None = weights

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace the weights of the checkpoint, which mmengine takes as they are written."""
        checkpoint['state_dict'], self.weights = self.weights, None


def _call_after_loading(runner: Runner, callback: Callable[[], None]) -> None:
    """Call a function as soon as a runner's model has its weights."""
    load_or_resume = runner.load_or_resume

    def load_and_call() -> None:
        load_or_resume()
        callback()

    runner.load_or_resume = load_and_call

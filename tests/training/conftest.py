"""What the tests of a training share."""

from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner


@pytest.fixture
def amp_on_cpu(monkeypatch):
    """Lets mmengine's AmpOptimWrapper, which asks for a GPU, run on a CPU."""
    if not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('torch before 2.3 has no GradScaler for a CPU')
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    monkeypatch.setattr('mmengine.runner.amp.autocast', partial(torch.autocast, 'cpu'))


@pytest.fixture(scope='session')
def plain_run(tiny_configs, tmp_path_factory) -> Config:
    """The config of a finished training of the plain student, which tests read and do not change.

    Its ``work_dir`` holds ``epoch_1.pth`` and ``epoch_2.pth``.
    """
    init_default_scope('mmdet')  # a session fixture is built before mmdet_scope
    return _trained(tiny_configs(tmp_path_factory.mktemp('plain'), 'student'))


@pytest.fixture(scope='session')
def distilled_run(tiny_distillers, tmp_path_factory) -> Config:
    """The config of a finished training with NST, which tests read and do not change.

    Its ``work_dir`` holds ``epoch_1.pth`` and ``epoch_2.pth``.
    """
    init_default_scope('mmdet')
    return _trained(tiny_distillers(tmp_path_factory.mktemp('distilled')))


@pytest.fixture(scope='session')
def classifier_runs(tiny_classifiers, tmp_path_factory) -> dict[str, Config]:
    """The same of classifiers: the configs of a ``plain`` and of a ``distilled`` training."""
    return {
        name: _trained(tiny_classifiers(tmp_path_factory.mktemp(name), name == 'distilled'))
        for name in ('plain', 'distilled')
    }


def _trained(cfg: Config) -> Config:
    Runner.from_cfg(cfg).train()
    return cfg

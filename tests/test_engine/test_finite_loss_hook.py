"""A plain detector's training stops before a broken checkpoint is written."""

from pathlib import Path

import pytest
from mmengine.runner import Runner

from nst_det.errors import UserError


def test_a_diverged_training_stops_and_saves_nothing(tiny_config):
    cfg = tiny_config(
        'student',
        **{
            'optim_wrapper.optimizer.lr': 1e30,
            'optim_wrapper.clip_grad': None,
            'param_scheduler': [],
        },
    )
    with pytest.raises(UserError, match=r'loss not finite at iteration \d+: '):
        Runner.from_cfg(cfg).train()
    assert not list(Path(cfg.work_dir).glob('*.pth'))

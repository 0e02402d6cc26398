"""A plain detector's training stops before a broken checkpoint is written."""

from pathlib import Path

import pytest
from mmengine.hooks import Hook
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


def test_weights_that_are_no_numbers_are_not_saved_over_good_ones(tiny_config):
    runner = Runner.from_cfg(tiny_config('student'))

    class Spoil(Hook):
        def after_train_epoch(self, runner):
            if runner.epoch == 1:
                next(runner.model.parameters()).data.fill_(float('nan'))

    runner.register_hook(Spoil(), priority='VERY_HIGH')
    with pytest.raises(UserError, match='weights not finite after iteration .* not saved'):
        runner.train()
    assert [path.name for path in Path(runner.work_dir).glob('*.pth')] == ['epoch_1.pth']

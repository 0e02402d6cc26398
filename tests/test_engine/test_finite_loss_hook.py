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


class SpoilGradient(Hook):
    """Makes one gradient of the second iteration NaN."""

    def before_train(self, runner):
        parameter = next(one for one in runner.model.parameters() if one.requires_grad)
        parameter.register_hook(
            lambda grad: grad * float('nan') if runner.iter == self.iteration else grad
        )

    iteration = 1


@pytest.mark.parametrize('name', ['student', 'nst_student'])
def test_a_gradient_that_is_no_number_stops_and_reaches_no_weight(
    tiny_config, tiny_distiller, name
):
    cfg = tiny_config(name) if name == 'student' else tiny_distiller()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SpoilGradient())
    with pytest.raises(UserError, match=r'gradient not finite at iteration 2: that of .*\.jpg'):
        runner.train()
    assert all(value.isfinite().all() for value in runner.model.parameters())


def test_a_bounded_number_of_iterations_may_be_skipped(tiny_config):
    cfg = tiny_config('student')
    cfg.custom_hooks = [dict(type='FiniteLossHook', max_skips=1)]
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SpoilGradient())
    runner.train()
    assert runner.message_hub.get_info('skipped_iterations') == 1
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


def test_the_skip_after_the_last_allowed_one_stops(tiny_config):
    cfg = tiny_config('student')
    cfg.custom_hooks = [dict(type='FiniteLossHook', max_skips=1)]
    runner = Runner.from_cfg(cfg)
    for iteration in (1, 2):
        hook = SpoilGradient()
        hook.iteration = iteration
        runner.register_hook(hook)
    with pytest.raises(UserError, match='at iteration 3: .* 1 iterations were skipped before'):
        runner.train()

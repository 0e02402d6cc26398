"""FiniteLossHook keeps NaN and infinite values out of the weights and the checkpoints."""

from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.engine.hooks import finite_loss_hook
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


def test_nan_weights_are_not_saved(tiny_config):
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
        parameter = next(p for p in runner.model.parameters() if p.requires_grad)
        parameter.register_hook(
            lambda grad: grad * float('nan') if runner.iter == self.iteration else grad
        )

    iteration = 1


@pytest.mark.parametrize(
    ('name', 'clip_grad'),
    [
        ('student', None),
        ('student', dict(type='value', clip_value=1.0)),
        ('nst_student', dict(max_norm=10, norm_type=2)),
    ],
    ids=['not clipped', 'clipped by value', 'clipped by norm'],
)
def test_a_nan_gradient_stops_the_training_and_changes_no_weight(
    tiny_config, tiny_distiller, name, clip_grad
):
    cfg = tiny_config(name) if name == 'student' else tiny_distiller()
    cfg.optim_wrapper.clip_grad = clip_grad
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SpoilGradient())
    with pytest.raises(UserError, match=r'gradient not finite at iteration 2: that of .*\.jpg'):
        runner.train()
    assert all(value.isfinite().all() for value in runner.model.parameters())


def test_max_skips_iterations_are_skipped(tiny_config):
    cfg = tiny_config('student')
    cfg.custom_hooks = [dict(type='FiniteLossHook', max_skips=1)]
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SpoilGradient())
    runner.train()
    assert runner.message_hub.get_info('skipped_iterations') == 1
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


def test_one_more_than_max_skips_stops_the_training(tiny_config):
    cfg = tiny_config('student')
    cfg.custom_hooks = [dict(type='FiniteLossHook', max_skips=1)]
    runner = Runner.from_cfg(cfg)
    for iteration in (1, 2):
        hook = SpoilGradient()
        hook.iteration = iteration
        runner.register_hook(hook)
    with pytest.raises(UserError, match='at iteration 3: .* 1 iterations were skipped before'):
        runner.train()


# With GradScaler, which skips steps while it searches for a scale.


def mixed_precision(cfg, scale: float | dict) -> Runner:
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale=scale)
    return Runner.from_cfg(cfg)


def test_a_step_that_grad_scaler_skips_is_no_error(tiny_distiller, amp_on_cpu):
    runner = mixed_precision(tiny_distiller(), dict(init_scale=64.0))
    runner.register_hook(SpoilGradient())
    runner.train()
    assert runner.iter == 4
    assert runner.optim_wrapper.loss_scaler.get_scale() == 32
    steps = {int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()}
    assert steps == {3}
    assert runner.message_hub.runtime_info.get('skipped_iterations') is None
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


@pytest.mark.parametrize('max_skips', [0, 1])
def test_a_nan_loss_stops_or_is_skipped_with_grad_scaler_too(tiny_distiller, amp_on_cpu, max_skips):
    cfg = tiny_distiller()
    cfg.custom_hooks = [dict(type='FiniteLossHook', max_skips=max_skips)]
    runner = mixed_precision(cfg, dict(init_scale=64.0))
    runner.register_hook(SpoilFeatureMap())
    if max_skips == 0:
        with pytest.raises(UserError, match=r'loss not finite at iteration 2: .*inception_4b'):
            runner.train()
    else:
        runner.train()
        assert runner.message_hub.get_info('skipped_iterations') == 1
        assert all(value.isfinite().all() for value in runner.model.buffers())
    assert all(value.isfinite().all() for value in runner.model.parameters())


class SpoilFeatureMap(Hook):
    """Makes the tapped feature map of the second iteration infinite, as fp16 may."""

    def before_train(self, runner):
        runner.model.backbone.inception_4b.register_forward_pre_hook(
            lambda module, args: (args[0] * float('inf'),) if runner.iter == 1 else args
        )


class SpoilEachGradient(SpoilGradient):
    """Makes one gradient of every iteration NaN."""

    def before_train_iter(self, runner, *args, **kwargs):
        self.iteration = runner.iter


@pytest.mark.parametrize('scale', [64.0, dict(init_scale=64.0)], ids=['fixed', 'dynamic'])
def test_a_grad_scaler_that_skips_every_step_stops_the_training(
    tiny_config, amp_on_cpu, monkeypatch, scale
):
    monkeypatch.setattr(finite_loss_hook, 'MAX_SCALER_SKIPS', 3)
    runner = mixed_precision(tiny_config('student'), scale)
    runner.register_hook(SpoilEachGradient())
    with pytest.raises(UserError, match='not finite at iteration 3, as in the 2 steps before'):
        runner.train()
    assert not list(Path(runner.work_dir).glob('epoch_2.pth'))

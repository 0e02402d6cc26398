"""ChannelsLastHook stores weights and feature maps channels last, and changes no result."""

import pytest
import torch
from mmengine.runner import Runner, load_checkpoint

LAST = torch.channels_last


def trained(cfg, name, hooks):
    """Train; give the runner, whether each tapped feature map was channels last, and the losses."""
    cfg.custom_hooks = [
        *(hook for hook in cfg.custom_hooks if hook.type != 'ChannelsLastHook'),
        *hooks,
    ]
    cfg.work_dir = f'{cfg.work_dir}/{name}'
    cfg.experiment_name = name  # else two within a second share their message hub
    runner = Runner.from_cfg(cfg)
    layouts = []
    runner.model.backbone.inception_4b.register_forward_hook(
        lambda module, args, out: layouts.append(out.is_contiguous(memory_format=LAST))
    )
    runner.train()
    return runner, layouts, runner.message_hub.get_scalar('train/loss').data[0]


def channels_last(model):
    """Whether each convolution weight of several pixels and channels is stored channels last."""
    weights = [w for w in model.parameters() if w.dim() == 4 and min(w.shape[1:]) > 1]
    return [weight.is_contiguous(memory_format=LAST) for weight in weights]


def test_channels_last_changes_a_training_by_rounding_only(tiny_distiller):
    _, plainly, expected = trained(tiny_distiller(), 'plain', [])
    runner, lasts, losses = trained(tiny_distiller(), 'last', [dict(type='ChannelsLastHook')])
    assert all(channels_last(runner.model)) and all(lasts) and not any(plainly)
    assert losses[0] == pytest.approx(expected[0], rel=1e-5)


def test_the_teacher_has_its_own_option_of_channels_last(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.teacher.channels_last = False
    runner, _, _ = trained(cfg, 'last', [dict(type='ChannelsLastHook')])
    assert all(channels_last(runner.model))
    assert not any(channels_last(runner.model.open_teacher().detector))


def test_a_checkpoint_does_not_depend_on_the_memory_layout(tiny_config):
    cfg = tiny_config('student')
    cfg.train_cfg.max_epochs = 1
    runner, _, _ = trained(cfg, 'last', [dict(type='ChannelsLastHook')])
    weights = {name: value.clone() for name, value in runner.model.state_dict().items()}
    tested = tiny_config('student')
    tested.custom_hooks = []
    plain = Runner.from_cfg(tested)
    load_checkpoint(plain.model, f'{runner.work_dir}/epoch_1.pth', strict=True)
    assert not any(channels_last(plain.model))
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_test_runs_channels_last_too(tiny_config):
    runner = Runner.from_cfg(tiny_config('student'))
    runner.test()
    assert all(channels_last(runner.model))


def test_the_layout_stays_on_devices_that_are_not_named(tiny_config):
    hook = dict(type='ChannelsLastHook', devices=['cuda'])
    runner, lasts, _ = trained(tiny_config('student'), 'elsewhere', [hook])
    assert not any(channels_last(runner.model)) and not any(lasts)

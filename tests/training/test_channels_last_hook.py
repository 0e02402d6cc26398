"""Kernels and maps with their channels last in memory."""

import pytest
import torch
from mmengine.runner import Runner, load_checkpoint

LAST = torch.channels_last


def trained(cfg, name, hook):
    """A finished run, the layout of its tapped maps, and its losses."""
    cfg.custom_hooks = [*(one for one in cfg.custom_hooks if one.type != 'ChannelsLastHook'), *hook]
    cfg.work_dir = f'{cfg.work_dir}/{name}'
    runner = Runner.from_cfg(cfg)
    layouts = []
    runner.model.backbone.inception_4b.register_forward_hook(
        lambda module, args, out: layouts.append(out.is_contiguous(memory_format=LAST))
    )
    runner.train()
    return runner, layouts, runner.message_hub.get_scalar('train/loss').data[0]


def laid_out(model):
    """Whether each kernel, of more than one pixel and channel, has its channels last."""
    kernels = [one for one in model.parameters() if one.dim() == 4 and min(one.shape[1:]) > 1]
    return [one.is_contiguous(memory_format=LAST) for one in kernels]


def test_a_training_is_the_same_to_rounding_with_its_channels_last(tiny_distiller):
    _, plainly, expected = trained(tiny_distiller(), 'plain', [])
    runner, lasts, losses = trained(tiny_distiller(), 'last', [dict(type='ChannelsLastHook')])
    assert all(laid_out(runner.model)) and all(lasts) and not any(plainly)
    assert losses[0] == pytest.approx(expected[0], rel=1e-5)


def test_the_teacher_goes_by_its_own_option(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.teacher.channels_last = False
    runner, _, _ = trained(cfg, 'last', [dict(type='ChannelsLastHook')])
    assert all(laid_out(runner.model))
    assert not any(laid_out(runner.model.open_teacher().detector))


def test_a_checkpoint_fits_a_detector_laid_out_otherwise(tiny_config):
    cfg = tiny_config('student')
    cfg.train_cfg.max_epochs = 1
    runner, _, _ = trained(cfg, 'last', [dict(type='ChannelsLastHook')])
    weights = {name: one.clone() for name, one in runner.model.state_dict().items()}
    tested = tiny_config('student')
    tested.custom_hooks = []
    plain = Runner.from_cfg(tested)
    load_checkpoint(plain.model, f'{runner.work_dir}/epoch_1.pth', strict=True)
    assert not any(laid_out(plain.model))
    assert all(torch.equal(one, weights[name]) for name, one in plain.model.state_dict().items())


def test_the_configs_test_with_channels_last_too(tiny_config):
    runner = Runner.from_cfg(tiny_config('student'))
    runner.test()
    assert all(laid_out(runner.model))


def test_on_devices_that_are_not_named_nothing_is_laid_out_anew(tiny_config):
    hook = dict(type='ChannelsLastHook', devices=['cuda'])
    runner, lasts, _ = trained(tiny_config('student'), 'elsewhere', [hook])
    assert not any(laid_out(runner.model)) and not any(lasts)

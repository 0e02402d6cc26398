"""A distilled training through mmengine's Runner: its checkpoints, and how it resumes.

Each test runs for a detector and for an image classifier.
"""

from functools import partial
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from nst_det.errors import UserError


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def saved(cfg, epoch=2):
    return torch.load(f'{cfg.work_dir}/epoch_{epoch}.pth', weights_only=True)


def assert_same(weights, expected):
    assert list(weights) == list(expected)
    for key, value in expected.items():
        assert torch.equal(weights[key], value), key


@pytest.fixture
def tiny_config(kind, tiny_config, request, tmp_path):
    if kind == 'detector':
        return partial(tiny_config, 'student')
    return partial(request.getfixturevalue('tiny_classifiers'), tmp_path)


@pytest.fixture
def tiny_distiller(either_distiller):
    return either_distiller


@pytest.fixture
def plain_run(kind, request, plain_run):
    if kind == 'detector':
        return plain_run
    return request.getfixturevalue('classifier_runs')['plain']


@pytest.fixture
def distilled_run(kind, request, distilled_run):
    if kind == 'detector':
        return distilled_run
    return request.getfixturevalue('classifier_runs')['distilled']


@pytest.fixture
def plain(tiny_config):
    cfg = tiny_config()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def test_a_checkpoint_of_a_distiller_is_that_of_the_plain_student(plain, plain_run, distilled_run):
    checkpoint, expected = saved(distilled_run), saved(plain_run)
    result = plain.load_state_dict(checkpoint['state_dict'], strict=True)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert list(checkpoint['state_dict']) == list(expected['state_dict'])
    assert checkpoint.keys() == expected.keys()
    groups = [part['optimizer']['param_groups'] for part in (checkpoint, expected)]
    assert groups[0] == groups[1]


@pytest.mark.parametrize('off', ['weight zero', 'no transfers'])
def test_without_a_transfer_the_training_is_that_of_the_plain_student_bit_for_bit(
    plain_run, tiny_distiller, off
):
    cfg = tiny_distiller()
    if off == 'weight zero':
        cfg.model.transfers[0].loss.loss_weight = 0.0
    else:
        cfg.model.transfers = []
    train(cfg)
    assert_same(saved(cfg)['state_dict'], saved(plain_run)['state_dict'])


def test_monitoring_the_gradients_changes_no_weight(distilled_run, tiny_distiller):
    assert distilled_run.model.get('monitor_interval', 50) > 0
    cfg = tiny_distiller(**{'model.monitor_interval': 0})
    train(cfg)
    assert_same(saved(cfg)['state_dict'], saved(distilled_run)['state_dict'])


# Resuming.


def resume(cfg, checkpoint, epochs=2):
    """A runner that resumed a training, and trained up to an epoch."""
    cfg.update(load_from=checkpoint, resume=True)
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = epochs
    return train(cfg)


def test_resuming_restores_the_student_and_the_optimizer(distilled_run, tiny_distiller):
    checkpoint = saved(distilled_run, epoch=1)
    runner = resume(tiny_distiller(), f'{distilled_run.work_dir}/epoch_1.pth', epochs=1)
    assert_same(runner.model.state_dict(), checkpoint['state_dict'])
    states = runner.optim_wrapper.state_dict()['state']
    assert states.keys() == checkpoint['optimizer']['state'].keys()
    for key, value in checkpoint['optimizer']['state'].items():
        assert torch.equal(states[key]['exp_avg'], value['exp_avg'])
    assert runner.iter == checkpoint['meta']['iter']


def test_a_resumed_training_ends_as_the_uninterrupted_one(distilled_run, tiny_distiller):
    cfg = tiny_distiller()
    assert resume(cfg, f'{distilled_run.work_dir}/epoch_1.pth').epoch == 2
    assert_same(saved(cfg)['state_dict'], saved(distilled_run)['state_dict'])


def test_the_plain_student_resumes_a_distilled_training(distilled_run, tiny_config):
    checkpoint = saved(distilled_run, epoch=1)
    runner = resume(tiny_config(), f'{distilled_run.work_dir}/epoch_1.pth', epochs=1)
    assert_same(runner.model.state_dict(), checkpoint['state_dict'])
    states = runner.optim_wrapper.state_dict()['state']
    for i, parameter in enumerate(runner.model.parameters()):
        if i in states:
            assert states[i]['exp_avg'].shape == parameter.shape
            assert torch.equal(states[i]['exp_avg'], checkpoint['optimizer']['state'][i]['exp_avg'])
    assert states


@pytest.mark.parametrize('update_buffers', [False, True])
def test_a_moving_average_is_that_of_the_plain_student(plain, tiny_distiller, update_buffers):
    hook = dict(type='EMAHook', momentum=0.5, update_buffers=update_buffers, strict_load=True)
    cfg = tiny_distiller(custom_hooks=[hook])
    cfg.train_cfg.max_epochs = 1
    train(cfg)
    checkpoint = saved(cfg, epoch=1)
    assert list(checkpoint['state_dict']) == list(plain.state_dict())
    plain.load_state_dict(checkpoint['state_dict'], strict=True)
    source = {
        key.removeprefix('module.'): value
        for key, value in checkpoint['ema_state_dict'].items()
        if key != 'steps'
    }
    assert list(source) == list(plain.state_dict())
    plain.load_state_dict(source, strict=True)
    key = next(name for name in source if name.endswith('conv.weight'))
    assert not torch.equal(source[key], checkpoint['state_dict'][key])
    resumed = tiny_distiller(custom_hooks=[hook], work_dir=f'{cfg.work_dir}_resumed')
    runner = resume(resumed, f'{cfg.work_dir}/epoch_1.pth', epochs=1)
    (ema,) = [hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook']
    assert_same(ema.ema_model.module.state_dict(), checkpoint['state_dict'])


def test_the_student_starts_from_a_checkpoint_by_load_from(plain_run, tiny_distiller):
    cfg = tiny_distiller(load_from=f'{plain_run.work_dir}/epoch_2.pth')
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    assert_same(runner.model.state_dict(), saved(plain_run)['state_dict'])


def test_a_diverged_distillation_stops_and_saves_nothing(tiny_distiller):
    changes = {'optim_wrapper.optimizer.lr': 1e30, 'optim_wrapper.clip_grad': None}
    cfg = tiny_distiller(**changes, param_scheduler=[])
    with pytest.raises(UserError, match=r'loss not finite at iteration \d+: .*loss_\w+=(nan|inf)'):
        train(cfg)
    assert not list(Path(cfg.work_dir).glob('*.pth'))

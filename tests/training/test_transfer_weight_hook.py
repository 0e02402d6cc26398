"""TransferWeightHook schedules the weights of transfers in a training."""

import pytest
from mmengine.runner import Runner

from nst_det.errors import UserError
from nst_det.models.distillers.teacher.teacher import Teacher


def scheduled(cfg, **options):
    cfg.custom_hooks = [dict(type='TransferWeightHook', **options)]
    return cfg


def train(cfg):
    cfg.train_cfg.val_interval = 100
    cfg.experiment_name = cfg.work_dir  # mmengine keeps logged values by this name
    runner = Runner.from_cfg(cfg)
    runner.train()  # 2 epochs of 2 iterations
    return runner


def logged(runner, key='weight', layer='backbone_inception_4b'):
    """The logged values of the iterations in their order."""
    return runner.message_hub.get_scalar(f'train/{key}_{layer}').data[0].tolist()


def test_the_weight_follows_the_iterations_and_is_logged(tiny_distiller):
    runner = train(scheduled(tiny_distiller(), warmup=2, decay=(2, 4), end_factor=0.1))
    assert logged(runner) == pytest.approx([0, 25, 50, 27.5])
    assert runner.model.transfers[0].loss.loss_weight == 50


def test_a_resumed_training_continues_the_schedule_by_epoch(tiny_distiller):
    options = dict(by_epoch=True, warmup=1, decay=(1, 2))
    whole = scheduled(tiny_distiller(), **options)
    assert logged(train(whole)) == [0, 25, 50, 25]
    rest = scheduled(tiny_distiller(), **options)
    rest.update(load_from=f'{whole.work_dir}/epoch_1.pth', resume=True)
    rest.work_dir += '_resumed'
    assert logged(train(rest)) == [0, 25, 50, 25]  # the first two are the checkpoint's


def test_the_teacher_runs_only_while_a_weight_is_above_zero(tiny_distiller, monkeypatch):
    calls = []
    teach = Teacher.__call__
    monkeypatch.setattr(
        Teacher, '__call__', lambda *args, **kwargs: calls.append(1) or teach(*args, **kwargs)
    )
    runner = train(scheduled(tiny_distiller(**{'model.monitor_interval': 1}), warmup=1, stop=3))
    assert len(calls) == 2
    for key in ('loss_nst', 'grad_ratio', 'mmd2'):  # no value while it is turned off
        assert [value > 0 for value in logged(runner, key)] == [True, True]


def test_each_transfer_can_have_its_own_schedule(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.transfers = [
        dict(layer=f'backbone.inception_{block}', loss=dict(type='NSTLoss', loss_weight=10.0))
        for block in ('3b', '4b')
    ]
    cfg.custom_hooks = [
        dict(type='TransferWeightHook', stop=2, transfers=['backbone.inception_3b']),
        dict(type='TransferWeightHook', warmup=2, transfers=['backbone.inception_4b']),
    ]
    runner = train(cfg)
    assert logged(runner, layer='backbone_inception_3b') == [10, 10, 0, 0]
    assert logged(runner, layer='backbone_inception_4b') == [0, 5, 10, 10]


def test_an_unknown_transfer_names_the_nearest(tiny_distiller):
    cfg = scheduled(tiny_distiller(), stop=2, transfers=['backbone.inception_4d'])
    with pytest.raises(UserError, match=r"did you mean 'backbone.inception_4b'\?"):
        train(cfg)


def test_a_measured_weight_needs_a_transfer_that_is_on_from_the_start(tiny_distiller):
    cfg = scheduled(tiny_distiller(), warmup=4)
    cfg.model.transfers[0].loss.loss_weight = 'auto'
    with pytest.raises(UserError, match='give start_factor a value above 0, or loss_weight'):
        train(cfg)


def test_a_measured_weight_is_multiplied_by_the_factor(tiny_distiller):
    cfg = scheduled(tiny_distiller(), warmup=4, start_factor=0.5)
    cfg.model.transfers[0].loss.loss_weight = dict(ratio=3.0, iterations=1)
    cfg.model.monitor_interval = 1
    runner = train(cfg)
    assert logged(runner, 'grad_ratio')[0] == pytest.approx(3.0 * 0.5, rel=1e-3)


def test_two_schedules_of_one_transfer_are_an_error(tiny_distiller):
    cfg = tiny_distiller()
    cfg.custom_hooks = [dict(type='TransferWeightHook', stop=n) for n in (2, 3)]
    with pytest.raises(UserError, match='two TransferWeightHooks schedule'):
        train(cfg)


def test_a_plain_detector_has_no_transfer_to_schedule(tiny_config):
    cfg = scheduled(tiny_config('student'), stop=2)
    with pytest.raises(UserError, match='the model is a FasterRCNN: take the hook out'):
        train(cfg)

"""The log of a training has only values that are new."""

import json
from pathlib import Path

import pytest
from mmengine.runner import Runner

from nst_det.engine import LogProcessor

LAYER = 'backbone_inception_4b'


def lines(cfg):
    """Train for two epochs of two iterations; the lines of the iterations in the JSON log."""
    cfg.train_cfg.val_interval = 100
    # mmengine keeps logged values and visualizers by these names.
    cfg.experiment_name = cfg.visualizer.name = cfg.work_dir
    runner = Runner.from_cfg(cfg)
    assert type(runner.log_processor) is LogProcessor
    runner.train()
    (file,) = Path(cfg.work_dir).glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    return [entry for entry in entries if 'lr' in entry]


def has(entries, key):
    return [f'{key}_{LAYER}' in entry for entry in entries]


def test_a_gradient_ratio_is_logged_when_it_was_measured_and_not_again(tiny_distiller):
    entries = lines(tiny_distiller(**{'model.monitor_interval': 2}))
    assert has(entries, 'grad_ratio') == [True, False, True, False]
    assert has(entries, 'mmd2') == has(entries, 'loss_nst') == [True] * 4


def test_a_ratio_waits_for_the_line_that_shows_it(tiny_distiller):
    cfg = tiny_distiller(**{'model.monitor_interval': 4})
    cfg.default_hooks.logger.interval = 2
    assert has(lines(cfg), 'grad_ratio') == [True, False]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_transfer_that_has_been_stopped_logs_no_reading(tiny_distiller, by_epoch):
    cfg = tiny_distiller(**{'model.monitor_interval': 1})
    cfg.log_processor = dict(type='LogProcessor', window_size=10, by_epoch=by_epoch)
    cfg.custom_hooks = [dict(type='TransferWeightHook', stop=2)]
    entries = lines(cfg)
    for key in ('loss_nst', 'mmd2', 'grad_ratio'):
        assert has(entries, key) == [True, True, False, False]
    assert [entry[f'weight_{LAYER}'] for entry in entries] == [50, 50, 0, 0]
    assert all('loss' in entry and 'time' in entry for entry in entries)

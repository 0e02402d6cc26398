"""Data workers of a training, by each start method; Python 3.14 forks them no longer by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from locations import ROOT

from nst_det.datasets import SHAPE_CLASSES

TRAIN = ROOT / 'tools' / 'train.py'


@pytest.fixture
def config(write, tiny_config, shapes) -> Path:
    """A training of one epoch on a data set that is mmdet's alone, as a user's may be."""
    cfg = tiny_config('student', **{'train_cfg.max_epochs': 1, 'train_dataloader.num_workers': 1})
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.train_cfg.pop('val_interval')
    cfg.train_dataloader.persistent_workers = True
    cfg.train_dataloader.dataset = dict(
        type='VOCDataset',
        data_root=f'{shapes}/',
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(64, 64)),
            dict(type='PackDetInputs'),
        ],
    )
    return write(cfg)


@pytest.mark.parametrize('start_method', ['spawn', 'forkserver'])
def test_a_worker_that_is_not_forked_imports_what_the_tool_has(config, tmp_path, start_method):
    changes = [f'env_cfg.mp_cfg.mp_start_method={start_method}']
    done = subprocess.run(
        [sys.executable, TRAIN, config, '--work-dir', 'run', '--cfg-options', *changes],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()

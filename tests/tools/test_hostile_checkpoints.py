"""Every road by which the tools come to a checkpoint: what it holds is not run."""

import os
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS


class Touch:
    def __reduce__(self):
        return os.system, (f'touch {Path.cwd() / "trace"}',)


@pytest.fixture
def crafted(tmp_path, monkeypatch):
    """A checkpoint that would leave a trace."""
    monkeypatch.chdir(tmp_path)
    hostile = dict(
        state_dict={'a': torch.zeros(1)}, optimizer={}, message_hub={}, meta=dict(cfg=Touch())
    )
    torch.save(hostile, 'crafted.pth')
    return 'crafted.pth'


ROADS = {
    'test': ['test', '{config}', 'crafted.pth'],
    'resume': ['train', '{config}', '--resume', 'crafted.pth'],
    'load_from': ['train', '{config}', '--cfg-options', 'load_from=crafted.pth'],
    'teacher': ['train', '{config}', '--cfg-options', 'model.teacher.checkpoint=crafted.pth'],
    'init_cfg': [
        *('train', '{config}', '--cfg-options', 'model.student.backbone.init_cfg.type=Pretrained'),
        'model.student.backbone.init_cfg.checkpoint=crafted.pth',
    ],
    'init_cfg of mmengine': [
        *('train', '{config}', '--cfg-options', 'model.student.rpn_head.init_cfg.type=Pretrained'),
        'model.student.rpn_head.init_cfg.checkpoint=crafted.pth',
    ],
}


@pytest.mark.parametrize('road', ROADS)
def test_no_road_runs_a_crafted_checkpoint(tool, write, tiny_distiller, crafted, road):
    config = write(tiny_distiller())
    status, _, err = tool(*(argument.format(config=config) for argument in ROADS[road]))
    errors = [line for line in err.splitlines() if line.startswith('error: ')]
    assert status == 2 and len(errors) == 1 and 'Traceback' not in err
    assert 'crafted.pth was refused and nothing in it was run' in errors[0]
    assert 'asks for posix.system' in errors[0]
    assert not Path('trace').exists()


def test_a_file_that_is_trusted_by_name_is_used(tool, write, tiny_config, crafted, capsys):
    cfg = tiny_config('student')
    weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights, code=Touch()), crafted)
    options = ['--trust-pickled-checkpoint', crafted]
    assert tool('test', write(cfg), crafted)[0] == 2
    assert not Path('trace').exists()
    assert tool('test', write(cfg), crafted, *options)[0] == 0
    assert Path('trace').exists()


def test_a_teacher_of_another_sha256_is_refused(tool, write, tiny_distiller):
    config = write(tiny_distiller())
    status, _, err = tool('train', config, '--cfg-options', 'model.teacher.sha256=deadbeef')
    assert status == 2
    assert 'teacher.pth is not the expected file: its sha256 is' in err

"""The tool that exports a student, as a user starts it."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS


@pytest.fixture
def trained(tiny_distiller, write, tmp_path):
    """A config and a student's checkpoint."""
    cfg = tiny_distiller()
    torch.manual_seed(5)
    torch.save(MODELS.build(cfg.model.student).state_dict(), tmp_path / 'trained.pth')
    return write(cfg), tmp_path / 'trained.pth'


def test_it_writes_the_two_files_and_says_what_student_and_teacher_cost(tool, trained):
    options = ['--fuse', '--shape', 64, 64, '--repeats', 1, '-o', 'out/student.pth']
    status, out, err = tool('export_student', *trained, *options)
    assert status == 0, err
    assert '69 of 69 batch norms fused' in out
    assert 'Wrote out/student.pth and out/student.py' in out
    assert [line.split('|')[1].strip() for line in out.splitlines() if '|' in line] == [
        '',
        'student',
        'teacher',
    ]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['-o', 'student.onnx'], 'expected a .pth file'),
        (['--onnx', 'student.pth'], 'expected the name of a .onnx file'),
        (['--shape', '0', '64'], '--shape is [0, 64]'),
        (['--repeats', '-1'], '--repeats is -1'),
        (['--cfg-options', 'modle.x=1'], "did you mean 'model'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(tool, trained, options, message):
    before = set(Path('.').iterdir())
    status, _, err = tool('export_student', *trained, *options)
    assert status == 2
    assert message in err.splitlines()[-1]
    assert set(Path('.').iterdir()) == before


def test_a_checkpoint_of_another_architecture_is_refused(tool, trained, tiny_config):
    config, checkpoint = trained
    torch.save(MODELS.build(tiny_config('student').model.backbone).state_dict(), checkpoint)
    status, _, err = tool('export_student', config, checkpoint)
    assert status == 2
    assert '0 of its' in err
    assert not Path('student.pth').exists()


def test_a_second_time_is_refused(tool, trained):
    assert tool('export_student', *trained, '--repeats', 0)[0] == 0
    first = Path('student.pth').read_bytes()
    status, _, err = tool('export_student', *trained, '--repeats', 0)
    assert status == 2
    assert 'student.pth exists already' in err
    assert Path('student.pth').read_bytes() == first

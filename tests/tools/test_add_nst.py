"""From a plain config to one that trains with NST, as a user does it."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from nst_det.config.load import load_config


@pytest.fixture
def arguments(write, tiny_config):
    """The command line for a student and its teacher, both Faster R-CNN on Inception-BN."""
    torch.save(MODELS.build(tiny_config('teacher').model).state_dict(), 'teacher.pth')
    student = write(tiny_config('student', train_cfg=dict(max_epochs=1)), 'student.py')
    teacher = write(tiny_config('teacher'), 'teacher.py')
    return [student, '--teacher', teacher, '--teacher-checkpoint', 'teacher.pth']


def test_what_it_writes_trains(tool, arguments):
    status, out, _ = tool('add_nst', *arguments)
    assert status == 0
    assert "neither detector has a neck, so the backbone's last map of stride 16" in out
    assert 'backbone.inception_4b (' in out
    assert out.splitlines()[-1] == 'Wrote student_nst.py'
    assert tool('train', 'student_nst.py', '--work-dir', 'run')[0] == 0
    assert Path('run/epoch_1.pth').is_file()


def test_the_options_are_those_of_the_config(tool, arguments):
    options = ['--kernel', 'gaussian', '--weight', 8, '-o', 'mine.py']
    layers = ['--layers', 'backbone.inception_3b', 'backbone.inception_4a=backbone.inception_4b']
    assert tool('add_nst', *arguments, *options, *layers)[0] == 0
    first, second = load_config('mine.py').model.transfers
    assert first.loss == dict(
        type='NSTLoss', loss_weight=4.0, kernel=dict(type='GaussianKernel', sigma_squared=None)
    )
    assert first.student_layer == first.teacher_layer == 'backbone.inception_3b'
    assert second.teacher_layer == 'backbone.inception_4b'


def test_a_second_time_is_refused(tool, arguments):
    tool('add_nst', *arguments)
    status, _, err = tool('add_nst', *arguments)
    assert status == 2
    assert err.splitlines()[-1].startswith('error: ')
    assert 'student_nst.py exists already' in err


def test_a_kernel_by_its_class_or_not_at_all(tool, arguments):
    assert tool('add_nst', *arguments, '--kernel', 'LinearKernel')[0] == 0
    status, _, err = tool('add_nst', *arguments, '--kernel', 'lineer', '-o', 'other.py')
    assert status == 2
    assert "unknown kernel 'lineer': did you mean 'LinearKernel'" in err

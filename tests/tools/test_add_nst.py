"""From a plain config to one that trains with NST, as a user does it."""

import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from tiny_detectors import tiny_detector

from nst_det.config.load import load_config


@pytest.fixture
def dense_pair(write, tiny_config):
    """The command line for two RetinaNets: no object of the images is large enough for neck[2]."""
    model = tiny_detector('RetinaNet')[1].model
    model.backbone.frozen_stages = -1
    cfg = tiny_config('student')
    cfg.model = model
    student, teacher = write(cfg, 'student.py'), write(cfg, 'teacher.py')
    torch.save(MODELS.build(model).state_dict(), 'teacher.pth')
    return [student, '--teacher', teacher, '--teacher-checkpoint', 'teacher.pth']


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
    assert 'batch 5 of 5' in out
    assert out.splitlines()[-1].startswith('Wrote student_nst.py: λ is measured in the first 50 it')
    assert load_config('student_nst.py').model.transfers[0].loss.loss_weight == 'auto'
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


# The layers are tried on the training data.


def layers_of(config):
    return [transfer.layer for transfer in load_config(config).model.transfers]


def test_a_layer_that_no_detection_gradient_reaches_is_not_proposed(tool, dense_pair):
    status, out, err = tool('add_nst', *dense_pair)
    assert status == 0, err
    assert "no gradient of the detection losses could be measured at 'neck[2]'" in out
    assert 'Left out: neck[1], neck[2]' in out
    assert layers_of('student_nst.py') == ['neck[0]']


def test_a_layer_that_the_user_names_is_flagged_and_kept(tool, dense_pair):
    _, out, _ = tool('add_nst', *dense_pair, '--layers', 'neck[2]', '--weight', 'auto:5')
    assert "no gradient of the detection losses could be measured at 'neck[2]'" in out
    assert 'gradient of NST is 5 times' in out
    assert layers_of('student_nst.py') == ['neck[2]']


def test_without_training_data_the_reason_is_told_and_the_config_written(tool, dense_pair):
    text = Path('student.py').read_text()
    Path('student.py').write_text(text + "\ntrain_dataloader['dataset']['data_root'] = 'gone/'\n")
    status, out, _ = tool('add_nst', *dense_pair, '--weight', 12)
    assert status == 0
    assert re.search(r'not tried: no VOC devkit at .*gone', out)
    assert layers_of('student_nst.py') == ['neck[0]', 'neck[1]', 'neck[2]']
    assert out.splitlines()[-1].startswith('Wrote student_nst.py: λ = 12 as given, shared by the 3')
    assert load_config('student_nst.py').model.transfers[0].loss.loss_weight == 4.0


def test_no_batch_is_read_on_request(tool, dense_pair):
    assert 'training data' not in tool('add_nst', *dense_pair, '--batches', 0)[1]
    status, _, err = tool('add_nst', *dense_pair, '--batches', -1)
    assert status == 2 and '--batches is -1, expected at least 0' in err

"""A command reads each checkpoint from disk once, whoever needs it."""

from pathlib import Path

import pytest
import torch
from distinct_detections import make_detections_distinct
from mmdet.registry import MODELS

from nst_det.apis.compare_students import compare_students


def names(reads):
    """The counts by the name of the file alone."""
    return {Path(file).name: count for file, count in reads.items()}


@pytest.fixture
def pretrained(tiny_config, tmp_path):
    """A file with the weights of backbone and head, from which both are initialized."""
    detector = MODELS.build(tiny_config('student').model)
    weights = {**detector.backbone.state_dict(), **detector.roi_head.shared_head.state_dict()}
    torch.save(weights, tmp_path / 'pretrained.pth')
    return dict(type='Pretrained', checkpoint=str(tmp_path / 'pretrained.pth'))


@pytest.fixture
def student(tiny_config, tmp_path):
    """A checkpoint of the plain student."""
    torch.manual_seed(5)
    detector = MODELS.build(tiny_config('student').model)
    make_detections_distinct(detector)
    torch.save(dict(state_dict=detector.state_dict(), meta={}), tmp_path / 'student.pth')
    return tmp_path / 'student.pth'


def test_training_reads_each_of_its_three_checkpoints_once(
    tool, write, tiny_distiller, student, pretrained, reads
):
    cfg = tiny_distiller(load_from=str(student))
    cfg.model.student.backbone.init_cfg = pretrained
    cfg.model.student.roi_head.shared_head.init_cfg = pretrained
    status, _, err = tool('train', write(cfg), '--work-dir', 'run')
    assert status == 0, err
    assert names(reads) == {'student.pth': 1, 'pretrained.pth': 1, 'teacher.pth': 1}


@pytest.mark.parametrize(('ema', 'named'), [(False, True), (True, False)])
def test_resuming_reads_the_checkpoint_once(tool, write, tiny_distiller, reads, ema, named):
    cfg = tiny_distiller()
    if ema:
        cfg.custom_hooks.append(dict(type='EMAHook'))
    config = write(cfg)
    short = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    assert tool('train', config, '--work-dir', 'run', *short)[0] == 0
    reads.clear()
    resume = ['--resume', 'run/epoch_1.pth'] if named else ['--resume']
    status, _, err = tool('train', config, '--work-dir', 'run', *resume)
    assert status == 0, err
    assert names(reads) == {'epoch_1.pth': 1, 'teacher.pth': 1}
    assert torch.load('run/epoch_2.pth')['meta']['epoch'] == 2


@pytest.mark.parametrize('options', [[], ['--tta']], ids=str)
def test_testing_reads_the_checkpoint_once(tool, write, tiny_distiller, student, reads, options):
    status, _, err = tool('test', write(tiny_distiller()), student, *options)
    assert status == 0, err
    assert names(reads) == {'student.pth': 1}


def test_exporting_reads_student_and_teacher_once(tool, write, tiny_distiller, student, reads):
    pytest.importorskip('onnxruntime')
    options = ['--onnx', 'a.onnx', '--shape', 64, 64, '--repeats', 2, '-o', 'out.pth']
    status, _, err = tool('export_student', write(tiny_distiller()), student, *options)
    assert status == 0, err
    assert names(reads) == {'student.pth': 1, 'teacher.pth': 1}


def test_comparing_two_students_reads_each_file_once(tiny_distiller, student, shapes, reads):
    image = min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    before = student.with_name('before.pth')
    before.write_bytes(student.read_bytes())
    assert list(compare_students(tiny_distiller(), str(student), str(before), [str(image)]))
    assert names(reads) == {'student.pth': 1, 'before.pth': 1, 'teacher.pth': 1}

"""The tool that exports a student, as a user starts it."""

import copy
import re
from pathlib import Path

import pytest
import torch
from distinct_detections import make_detections_distinct
from mmdet.registry import MODELS

from nst_det.apis import export_onnx


@pytest.fixture
def trained(tiny_distiller, write, tmp_path):
    """A config and a student's checkpoint."""
    cfg = tiny_distiller()
    torch.manual_seed(5)
    torch.save(MODELS.build(cfg.model.student).state_dict(), tmp_path / 'trained.pth')
    return write(cfg), tmp_path / 'trained.pth'


def test_it_writes_the_two_files_and_says_what_student_and_teacher_cost(tool, trained):
    options = ['--fuse', '--shape', 64, 64, '--repeats', 2, '-o', 'out/student.pth']
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
        (['--repeats', '1'], '--repeats is 1'),
        (['--verify'], '--verify compares a graph with the student'),
        (['--onnx', 'a.onnx', '--verify', 'gone'], '--verify names gone'),
        (['--int8', 'a.onnx', '--calibration-images', '0'], '--calibration-images is 0'),
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
    other = MODELS.build(dict(type='ResNet', depth=18))
    torch.save(other.state_dict(), checkpoint)
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


@pytest.fixture
def distinct(tiny_distiller, write, tmp_path):
    """A config and a checkpoint of a student whose scores differ clearly."""
    cfg = tiny_distiller()
    torch.manual_seed(5)
    student = MODELS.build(cfg.model.student)
    make_detections_distinct(student)
    torch.save(dict(state_dict=student.state_dict(), meta=dict(seed=7)), tmp_path / 'distinct.pth')
    return write(cfg), tmp_path / 'distinct.pth'


def test_graphs_are_verified_on_the_test_set_and_get_a_card(tool, distinct):
    options = ['--onnx', 'out/model.onnx', '--int8', 'out/int8.onnx', '--calibration-images', 2]
    more = ['--verify', '--repeats', 2, '--shape', 64, 64, '--license', 'CC-BY-4.0']
    status, out, err = tool('export_student', *distinct, *options, *more)
    assert status == 0, err
    for kind in ('test images', 'an empty grey image', 'noise, a batch of 2'):
        (line,) = [line for line in out.splitlines() if kind in line]
        assert 'equal' in line
    card = Path('out/model.md').read_text()
    for text in ('CC-BY-4.0', '| seed | 7 |', 'NSTLoss at backbone.inception_4b', 'λ = 50.0',
                 'Verified against torch: equal', '| ONNX Runtime | 0.', '| classes | circle',
                 'SHA-256', 'VOCDevkitDataset', 'teacher.pth, SHA-256'):  # fmt: skip
        assert text in card, text
    maps = re.search(r'\| torch \| ([\d.]+) \|\n\| ONNX Runtime \| ([\d.]+) \|', card)
    assert float(maps[1]) == pytest.approx(float(maps[2]), abs=1e-4)
    assert 'ONNX Runtime, INT8' in Path('out/int8.md').read_text()
    assert len(Path('out/int8.onnx').read_bytes()) < len(Path('out/model.onnx').read_bytes())


def test_a_graph_that_differs_is_not_written_and_the_exit_status_is_2(tool, distinct, monkeypatch):
    record = export_onnx.record_graph

    def wrong(detector):
        changed = copy.deepcopy(detector)
        changed.roi_head.bbox_head.fc_cls.bias.data += torch.linspace(0, 0.1, 5)
        return record(changed)

    monkeypatch.setattr(export_onnx, 'record_graph', wrong)
    status, out, err = tool('export_student', *distinct, '--onnx', 'model.onnx', '--repeats', 0)
    assert status == 2
    assert 'differs' in out
    assert 'detects something else than the student' in err
    assert not Path('model.onnx').exists()
    assert not Path('model.md').exists()


def test_a_student_that_detects_nothing_is_said_to_be_compared_with_nothing(tool, distinct):
    config, checkpoint = distinct
    options = ['--onnx', 'a.onnx', '--repeats', 0]
    threshold = ['--cfg-options', 'model.student.test_cfg.rcnn.score_thr=2']
    status, out, err = tool('export_student', config, checkpoint, *options, *threshold)
    assert status == 0, err
    assert 'detects nothing in these images, so no box was compared' in out


def test_an_image_or_a_devkit_can_be_given_to_verify_on(tool, distinct, shapes):
    image = min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    options = ['--onnx', 'a.onnx', '--verify', image, '--repeats', 0]
    status, out, err = tool('export_student', *distinct, *options)
    assert status == 0, err
    assert 'given images' in out
    assert 'mAP was not measured' in Path('a.md').read_text()
    options = ['-o', 'b.pth', '--onnx', 'b.onnx', '--verify', shapes, '--repeats', 0]
    status, out, err = tool('export_student', *distinct, *options)
    assert status == 0, err
    assert 'ONNX Runtime: pascal_voc/mAP' in out

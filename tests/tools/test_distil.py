"""From two configs and a checkpoint to a report, in one command."""

import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from nst_det.config.load import load_config

OUT = Path('work_dirs/student_distil')
TRAINED = OUT / 'student_nst' / 'seed0'


@pytest.fixture
def arguments(write, tiny_config, warm_python, monkeypatch):
    """The command line for a tiny student of two epochs; its trainings start at once."""
    monkeypatch.setattr(sys, 'executable', warm_python)
    torch.save(MODELS.build(tiny_config('teacher').model).state_dict(), 'teacher.pth')
    student = write(tiny_config('student', log_level='INFO'), 'student.py')
    teacher = write(tiny_config('teacher'), 'teacher.py')
    return [student, '--teacher', teacher, '--teacher-checkpoint', 'teacher.pth', '--batches', 1]


def fails(result):
    status, _, err = result
    assert status == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith('error: ')]
    return line


def written():
    """The files in the work dir with the times of their last change."""
    files = [file for file in OUT.rglob('*') if file.is_file() and file.name != '.lock']
    return {file: file.stat().st_mtime_ns for file in files}


def test_it_adds_nst_trains_tests_and_reports_and_repeats_nothing(tool, arguments):
    status, out, err = tool('distil', *arguments, '--dry-run')
    assert status == 0, err
    assert 'backbone.inception_4b (' in out and 'All weights of the teacher are in' in out
    assert f'student_nst: to do, into {OUT}/student_nst' in out
    assert not OUT.exists()

    status, out, err = tool('distil', *arguments)
    assert status == 0, err
    assert load_config(str(OUT / 'student_nst.py')).loss_weight == 'auto'
    assert 'batch 1 of 1 of the training data' in out
    assert '[1/1] student_nst, seed 0: mAP' in out and '| student_nst | ' in out
    assert f'The student, to use with student.py: {TRAINED}/epoch_2.pth' in out.replace(
        f'{Path.cwd()}/', ''
    )
    log = (OUT / 'student_nst' / 'seed0.log').read_text()
    assert 'Epoch(val)' in log and 'Epoch(test)' in log and 'weight_backbone_inception_4b' in log
    assert 'student, taught by NST' in (OUT / 'report.html').read_text()
    before = written()

    status, out, err = tool('distil', *arguments)
    assert status == 0, err
    assert out.count('finished already: ') == 2 and '1 of 1 are finished already' in out
    after = written()
    assert {file for file in after if after[file] != before[file]} == {
        OUT / f'table.{ending}' for ending in ('md', 'csv', 'png')
    }
    _, out, _ = tool('distil', *arguments, '--dry-run')
    assert 'student_nst, seed 0: finished, mAP' in out
    assert written() == after

    # Another option is never taken for the one that was used.
    line = fails(tool('distil', *arguments, '--kernel', 'linear'))
    assert 'student_nst.py was made with --kernel {' in line and 'choose another --work-dir' in line
    line = fails(tool('distil', *arguments, '--cfg-options', 'train_cfg.max_epochs=3'))
    assert 'was trained with another config: train_cfg.max_epochs was 2 and is 3' in line
    assert written() == after

    # As if it had been interrupted in the second epoch.
    (OUT / 'student_nst' / 'seed0.json').unlink()
    (TRAINED / 'epoch_2.pth').unlink()
    (TRAINED / 'last_checkpoint').write_text(str(TRAINED / 'epoch_1.pth'))
    _, out, _ = tool('distil', *arguments, '--dry-run')
    assert f'student_nst, seed 0: to be resumed from {TRAINED}/epoch_1.pth' in out
    status, out, err = tool('distil', *arguments)
    assert status == 0, err
    assert 'resumed epoch: 1' in (OUT / 'student_nst' / 'seed0.log').read_text()
    assert 'comparing the detections' in out  # the report is written again


def test_the_plain_student_is_trained_beside_it(tool, arguments):
    arguments += ['--baseline', '--seeds', 7, '--cfg-options', 'train_cfg.max_epochs=1']
    status, out, err = tool('distil', *arguments)
    assert status == 0, err
    assert '[2/2] student_nst, seed 7: mAP' in out and 'Gain over student in points of mAP' in out
    page = (OUT / 'report.html').read_text()
    assert 'student/seed7' in page and 'student_nst/seed7' in page


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--teacher-prefix', 'ema.'], "no weight in teacher.pth begins with the prefix 'ema.'"),
        (['--layers', 'nekc'], "no layer 'nekc'"),
        (['--seeds', '1', '1'], '--seeds has a value twice: 1 1'),
        (['--batches', '-1'], '--batches is -1'),
        (['--weight', 'much'], "loss_weight is 'much'"),
        (['--cfg-options', 'modle.type=x'], "did you mean 'model'"),
    ],
)
@pytest.mark.parametrize('dry', [True, False])
def test_a_mistake_is_one_clear_line_and_no_config_is_left(tool, arguments, options, message, dry):
    line = fails(tool('distil', *arguments, *options, *(['--dry-run'] if dry else [])))
    assert message in line
    assert not list(Path('.').rglob('*_nst.py'))


def test_a_work_dir_of_another_student_is_refused(tool, arguments):
    OUT.mkdir(parents=True)
    (OUT / 'other_nst.py').touch()
    assert 'is that of another student (other_nst.py)' in fails(tool('distil', *arguments))
    (OUT / 'other_nst.py').rename(OUT / 'student_nst.py')
    line = fails(tool('distil', *arguments))
    assert 'options.json, which tells how it was made, cannot be read' in line

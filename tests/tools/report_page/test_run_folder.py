"""Reading work dirs: roles, logs, results, and the messages about what is missing."""

import json
import os
import pickle

import pytest

from nst_det.errors import UserError
from nst_det.experiments.report import read_runs
from nst_det.experiments.report.config_summary import commands
from nst_det.experiments.run_folder import baseline_of


def test_roles_follow_from_the_configs_and_the_teacher_is_first(runs):
    assert [(run.name, run.role) for run in runs] == [
        ('teacher', 'teacher'),
        ('student', 'baseline'),
        ('nst_student', 'distilled'),
    ]
    assert baseline_of(runs[2], runs) is runs[1]
    assert not any(run.missing for run in runs)


def test_a_distilled_run_is_compared_with_the_baseline_of_its_seed(runs):
    other, baseline, distilled = runs
    other.role = 'baseline'
    distilled.cfg.randomness = dict(seed=4)
    other.cfg.randomness = dict(seed=4)
    assert baseline_of(distilled, [baseline, other, distilled]) is other


def test_each_step_of_a_resumed_training_counts_once_as_it_ran_last(work_dirs):
    folder = work_dirs['student']
    later = folder / '20300102_000000' / 'vis_data'
    later.mkdir(parents=True)
    lines = [dict(loss=9.0, step=3), dict(loss=8.0, step=4)]
    (later / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n{"loss": 7, "st')
    (run,) = read_runs([folder])
    assert [(entry['step'], entry['loss']) for entry in run.scalars][-2:] == [(3, 9.0), (4, 8.0)]
    assert len(run.scalars) == 4
    assert run.missing == ['1 damaged lines of the training log were left out']


def test_what_is_missing_is_listed_with_how_to_get_it(work_dirs):
    folder = work_dirs['student']
    for file in [*folder.glob('**/*.json'), *folder.glob('*.pkl'), *folder.glob('*.pth')]:
        file.unlink()
    (run,) = read_runs([folder])
    assert run.results.score is None and not run.predictions and not run.scalars
    missing = ' '.join(run.missing)
    for hint in ('no training log', 'run tools/test.py', '--out', 'no checkpoint'):
        assert hint in missing


@pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps([1, 2])])
def test_damaged_predictions_are_listed_as_missing(work_dirs, content):
    file = work_dirs['student'] / 'predictions.pkl'
    file.write_bytes(content)
    (run,) = read_runs([work_dirs['student']])
    assert f'{file} is not a file of tools/test.py --out' in run.missing[0]


class _Hostile:
    def __reduce__(self):
        return os.system, ('touch hostile',)


def test_code_in_predictions_is_not_run(work_dirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (work_dirs['student'] / 'predictions.pkl').write_bytes(pickle.dumps([_Hostile()]))
    (run,) = read_runs([work_dirs['student']])
    assert 'refused posix.system' in run.missing[0]
    assert not (tmp_path / 'hostile').exists()


@pytest.mark.parametrize(('name', 'message'), [('gone', 'there is no'), ('runs', 'no config')])
def test_a_folder_that_is_no_work_dir_is_refused(work_dirs, tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        read_runs([tmp_path / name])


def test_work_dirs_with_the_same_name_get_different_names(work_dirs, tmp_path):
    other = tmp_path / 'second' / 'student'
    other.mkdir(parents=True)
    config = work_dirs['student'] / 'student.py'
    (other / 'student.py').write_text(config.read_text())
    names = [run.name for run in read_runs([work_dirs['student'], other])]
    assert names == ['runs/student', 'second/student']


def write_test(folder, checkpoint, stamp='20300101_000200', score=0.9):
    """The files of a test of a checkpoint: its JSON and its config."""
    log_dir = folder / 'test' / stamp
    (log_dir / 'vis_data').mkdir(parents=True)
    (log_dir / f'{stamp}.json').write_text(json.dumps({'pascal_voc/mAP': score}))
    config = next(folder.glob('*.py')).read_text()
    (log_dir / 'vis_data' / 'config.py').write_text(f'{config}\nload_from = {str(checkpoint)!r}\n')


def test_the_checkpoint_is_the_one_that_was_tested(work_dirs):
    folder = work_dirs['student']
    (folder / 'best_epoch_1.pth').touch()
    write_test(folder, folder / 'best_epoch_1.pth')
    (run,) = read_runs([folder])
    assert run.checkpoint.name == 'best_epoch_1.pth'
    assert commands([run])[1].count('student_again/best_epoch_1.pth') == 1
    assert not run.missing


def test_a_tested_checkpoint_in_a_moved_work_dir_is_found(work_dirs):
    folder = work_dirs['student']
    (folder / 'epoch_1.pth').touch()
    write_test(folder, '/elsewhere/student/epoch_1.pth')
    (run,) = read_runs([folder])
    assert run.checkpoint == folder / 'epoch_1.pth'


def test_a_tested_checkpoint_that_was_removed_is_listed_as_missing(work_dirs):
    folder = work_dirs['student']
    write_test(folder, folder / 'epoch_1.pth')
    (run,) = read_runs([folder])
    assert run.checkpoint.name == 'epoch_2.pth'
    assert 'epoch_1.pth, does not exist' in run.missing[0]


def test_without_a_test_the_results_are_those_of_the_last_validation(work_dirs):
    folder = work_dirs['student']
    for file in folder.glob('test/**/*.json'):
        file.unlink()
    log = next(folder.glob('*/vis_data/scalars.json'))
    lines = [{'coco/bbox_mAP': value, 'step': step} for step, value in ((1, 0.1), (2, 0.2))]
    log.write_text('\n'.join([log.read_text(), *map(json.dumps, lines)]))
    (run,) = read_runs([folder])
    assert run.results.text == 'box mAP 20.0'
    assert 'last validation' in run.missing[0]


@pytest.mark.parametrize('content', ['[0.1]', 'null', '{"coco/bbox_mAP": 0.'])
def test_a_damaged_test_result_is_listed_as_missing(work_dirs, content):
    folder = work_dirs['student']
    for file in folder.glob('test/**/*.json'):
        file.unlink()
    newest = folder / 'test' / '20991231_000000'
    newest.mkdir(parents=True)
    (newest / f'{newest.name}.json').write_text(content)
    (run,) = read_runs([folder])
    assert any('the damaged test result' in line for line in run.missing)

"""What is read out of work dirs, and what is said where something is missing."""

import json
import os
import pickle

import pytest

from nst_det.errors import UserError
from nst_det.experiments.report import read_runs
from nst_det.experiments.run_folder import baseline_of


def test_roles_follow_from_the_configs_and_the_teacher_comes_first(runs):
    assert [(run.name, run.role) for run in runs] == [
        ('teacher', 'teacher'),
        ('student', 'baseline'),
        ('nst_student', 'distilled'),
    ]
    assert baseline_of(runs[2], runs) is runs[1]
    assert not any(run.lacks for run in runs)


def test_a_distilled_run_is_compared_with_the_baseline_of_its_seed(runs):
    other, baseline, distilled = runs
    other.role = 'baseline'
    distilled.cfg.randomness = dict(seed=4)
    other.cfg.randomness = dict(seed=4)
    assert baseline_of(distilled, [baseline, other, distilled]) is other


def test_a_resumed_training_counts_each_step_once_as_it_ran_last(work_dirs):
    folder = work_dirs['student']
    later = folder / '20300102_000000' / 'vis_data'
    later.mkdir(parents=True)
    lines = [dict(loss=9.0, step=3), dict(loss=8.0, step=4)]
    (later / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n{"loss": 7, "st')
    (run,) = read_runs([folder])
    assert [(one['step'], one['loss']) for one in run.scalars][-2:] == [(3, 9.0), (4, 8.0)]
    assert len(run.scalars) == 4
    assert run.lacks == ['1 lines of the training log are damaged and were left out']


def test_what_is_missing_is_said_with_what_would_bring_it(work_dirs):
    folder = work_dirs['student']
    for file in [*folder.glob('**/*.json'), *folder.glob('*.pkl'), *folder.glob('*.pth')]:
        file.unlink()
    (run,) = read_runs([folder])
    assert run.score is None and not run.predictions and not run.scalars
    lacks = ' '.join(run.lacks)
    for hint in ('no training log', 'run tools/test.py', '--out', 'no checkpoint'):
        assert hint in lacks


@pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps([1, 2])])
def test_damaged_predictions_are_no_end_of_the_report(work_dirs, content):
    file = work_dirs['student'] / 'predictions.pkl'
    file.write_bytes(content)
    (run,) = read_runs([work_dirs['student']])
    assert f'{file} is not what tools/test.py --out writes' in run.lacks[0]


class _Hostile:
    def __reduce__(self):
        return os.system, ('touch hostile',)


def test_predictions_run_no_code(work_dirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (work_dirs['student'] / 'predictions.pkl').write_bytes(pickle.dumps([_Hostile()]))
    (run,) = read_runs([work_dirs['student']])
    assert 'refused posix.system' in run.lacks[0]
    assert not (tmp_path / 'hostile').exists()


@pytest.mark.parametrize(('name', 'message'), [('gone', 'there is no'), ('runs', 'no config')])
def test_a_folder_that_is_no_work_dir_is_refused(work_dirs, tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        read_runs([tmp_path / name])


def test_work_dirs_of_one_name_are_told_apart(work_dirs, tmp_path):
    other = tmp_path / 'second' / 'student'
    other.mkdir(parents=True)
    config = work_dirs['student'] / 'student.py'
    (other / 'student.py').write_text(config.read_text())
    names = [run.name for run in read_runs([work_dirs['student'], other])]
    assert names == ['runs/student', 'second/student']

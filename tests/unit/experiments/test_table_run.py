"""The trainings of a table: which there are, in which order, and what they are given."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from mmengine.config import Config

from nst_det.errors import UserError
from nst_det.experiments import Result, TableRun

TEST = """
test_dataloader = dict(dataset=dict(type='VOCDataset', data_root='data/', ann_file='test.txt'))
test_evaluator = dict(type='VOCDevkitMetric')
"""
NST = """
model = dict(type='NSTDistiller', teacher=dict(config='old.py', checkpoint='old.pth'))
"""


def read(name, text):
    Path(name).write_text(text + TEST)
    return Config.fromfile(name)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rows():
    return dict(
        baseline=read('baseline.py', "model = dict(type='FasterRCNN')\nmethod = 'Baseline'"),
        nst=read('nst.py', NST),
    )


@pytest.fixture
def teacher():
    return read('teacher-w0.5.py', "model = dict(type='FasterRCNN', name='teacher')")


@pytest.fixture
def trained(monkeypatch):
    """The trials that are run, each of which ends at once, in their order."""
    trials = []

    def run_trials(missing, executor, keep_open):
        for trial in missing:
            trials.append(trial)
            trial.folder.mkdir(parents=True, exist_ok=True)
            trial.cfg.dump(trial.config)
            checkpoint = trial.folder / 'epoch_1.pth'
            checkpoint.write_text(trial.name)
            values = {'pascal_voc/mAP': 0.1 * len(trials), 'pascal_voc/AP/cat': 0.5}
            result = Result(values, str(checkpoint), seconds=1)
            trial.result_file.write_text(json.dumps(asdict(result)))
            yield trial, result

    monkeypatch.setattr('nst_det.experiments.run_table.run_trials', run_trials)
    return trials


def table(rows, seeds=(0,), **options):
    return TableRun(rows, seeds, Path('table'), Path('tools'), **options)


def test_the_teacher_is_trained_first_and_the_seeds_are_the_outermost_loop(rows, teacher, trained):
    table(rows, [2, 5], teacher=teacher).run()
    assert [trial.name for trial in trained] == [
        'Teacher, seed 0',
        'Baseline, seed 2',
        'nst, seed 2',
        'Baseline, seed 5',
        'nst, seed 5',
    ]
    assert {str(trial.folder) for trial in trained} == {
        'table/teacher',
        'table/baseline',
        'table/nst',
    }


def test_a_distilled_row_is_given_the_trained_teacher_and_its_hash(rows, teacher, trained):
    table(rows, teacher=teacher).run()
    *_, baseline, nst = trained
    assert nst.cfg.model.teacher.config == str(Path('teacher-w0.5.py').resolve())
    assert nst.cfg.model.teacher.checkpoint == 'table/teacher/epoch_1.pth'
    weights = Path('table/teacher/epoch_1.pth').read_bytes()
    assert nst.cfg.teacher_sha256 == hashlib.sha256(weights).hexdigest()
    assert baseline.cfg.model == dict(type='FasterRCNN')


def test_the_teacher_is_in_the_table_and_does_not_compete(rows, teacher, trained):
    text = table(rows, teacher=teacher).run().markdown()
    assert text == Path('table/table.md').read_text()
    assert '| Teacher | 10.0 |' in text
    assert '| nst | **30.0** |' in text
    assert 'gain over Baseline' in text
    assert Path('table/table.csv').is_file()
    assert Path('table/table.png').is_file()


def test_a_finished_trial_is_not_run_again(rows, trained, capsys):
    Path('old.pth').touch()
    table(rows).run()
    assert len(trained) == 2
    table(rows, [0, 1]).run()
    assert [trial.name for trial in trained[2:]] == ['Baseline, seed 1', 'nst, seed 1']
    assert '2 of 4 are finished already' in capsys.readouterr().out


def test_other_weights_of_the_teacher_make_another_row(rows, trained):
    Path('old.pth').touch()
    table(rows).run()
    Path('old.pth').write_text('trained again')
    with pytest.raises(UserError, match='nst, seed 0 was trained with another config: teacher_sha'):
        table(rows).run()


def test_a_row_without_the_checkpoint_of_its_teacher_is_refused(rows, trained):
    with pytest.raises(UserError, match=r'nst needs the checkpoint .* old\.pth: .* --teacher'):
        table(rows).run()
    assert not trained


def test_the_baseline_may_be_any_row(rows, trained):
    Path('old.pth').touch()
    assert 'gain over nst' in table(rows, baseline='nst').run().markdown()
    assert table(rows, baseline='configs/nst.py').baseline == 'nst'
    with pytest.raises(UserError, match="none of the rows: did you mean 'baseline'"):
        table(rows, baseline='basline')


def test_rows_of_one_name_are_refused(rows, teacher):
    rows['nst'].method = 'Baseline'
    with pytest.raises(UserError, match='two rows have the same method: Baseline, Baseline'):
        table(rows)
    rows['nst'].method = 'Teacher'
    with pytest.raises(UserError, match='same method: Baseline, Teacher, Teacher'):
        table(rows, teacher=teacher)


def test_a_row_in_the_folder_of_the_teacher_is_refused(rows, teacher):
    rows['teacher'] = rows.pop('nst')
    assert table(rows).methods == dict(baseline='Baseline', teacher='teacher')
    with pytest.raises(UserError, match="a row is called 'teacher'"):
        table(rows, teacher=teacher)


def test_a_teacher_with_another_test_is_refused(rows, teacher):
    teacher.test_dataloader.dataset.ann_file = 'val.txt'
    with pytest.raises(UserError, match='the test differs in its images: .*val.txt in teacher'):
        table(rows, teacher=teacher)

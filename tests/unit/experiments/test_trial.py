"""A trial: the files on disk that it accepts as its own."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nst_det.errors import UserError
from nst_det.experiments import Result, Trial


@pytest.fixture
def trial(tiny_distiller, tmp_path):
    def make(seed=0, **changes):
        return Trial(
            'NST', tiny_distiller(**changes), seed, tmp_path / 'table' / 'nst', Path('tools')
        )

    return make


def begun(trial):
    """Write the files of a trial that has been begun."""
    trial.work_dir.mkdir(parents=True)
    trial.cfg.dump(trial.config)
    (trial.work_dir / 'epoch_1.pth').touch()
    return trial


def test_a_trial_that_was_never_begun_has_no_result(trial):
    trial().check()
    assert trial().result() is None


def test_a_trial_accepts_its_own_config_on_disk(trial):
    begun(trial())
    trial().check()


def test_a_trial_accepts_another_title_and_work_dir(trial):
    begun(trial())
    trial(method='another title', work_dir='elsewhere').check()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'model.transfers.0.loss.loss_weight': 7.0}, r'loss_weight was 50\.0 and is 7\.0;'),
        ({'train_dataloader.batch_size': 2}, r'batch_size was 4 and is 2;'),
        ({'teacher_sha256': 'abc'}, r'teacher_sha256 was None and is abc;'),
        ({'load_from': 'x.pth', 'log_level': 'INFO'}, r'\(and 1 more\)'),
    ],
)
def test_a_trial_refuses_another_config_and_names_the_setting(trial, change, message):
    begun(trial())
    with pytest.raises(UserError, match=message):
        trial(**change).check()


def test_a_trial_without_a_checkpoint_may_begin_with_another_config(trial):
    begun(trial())
    (trial().work_dir / 'epoch_1.pth').unlink()
    trial(log_level='INFO').check()


def test_another_seed_is_another_trial(trial):
    begun(trial(0))
    trial(1).check()
    assert trial(1).cfg.randomness.seed == 1


def test_a_trial_refuses_a_training_without_its_config(trial):
    trial().work_dir.mkdir(parents=True)
    with pytest.raises(UserError, match='exists without'):
        trial().check()


def test_the_result_of_a_trial_is_read_back(trial):
    metrics = {'pascal_voc/mAP': 0.25, 'pascal_voc/AP/star': 0.5}
    result = Result(metrics, checkpoint='epoch_4.pth', seconds=3.0)
    begun(trial()).result_file.write_text(json.dumps(asdict(result)))
    evaluators = trial().cfg.get('test_evaluator')
    assert trial().result() == replace(result, evaluators=evaluators)


@pytest.mark.parametrize(
    'text',
    [
        '',
        '{"metrics": 0.5',
        '{"map": 0.5}',
        '[]',
        '{"metrics": {}, "checkpoint": "", "seconds": 1}',
    ],
)
def test_a_trial_refuses_a_damaged_result(trial, text):
    begun(trial()).result_file.write_text(text)
    with pytest.raises(UserError, match=r'seed0\.json is no result of a trial'):
        trial().result()

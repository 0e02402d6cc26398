"""The scheduler of trials: their order, one on each GPU at a time, and failures."""

import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nst_det.errors import UserError
from nst_det.experiments import Result, run_trials
from nst_det.experiments.this_machine import ThisMachine


@dataclass(eq=False)
class QuickTrial:
    """A trial that waits a moment instead of training."""

    method: str
    seed: int = 0
    fails: bool = False
    meeting: threading.Barrier | None = None
    log: Path = Path('none.log')
    seconds: float = 0.05

    def __post_init__(self):
        self.name = f'{self.method}, seed {self.seed}'

    def run(self, environment, keep_open):
        self.environment = environment
        self.span = [time.time()]
        if self.meeting is not None:
            self.meeting.wait(timeout=60)
        time.sleep(self.seconds)
        self.span.append(time.time())
        if self.fails:
            raise UserError('no data')
        return Result({'pascal_voc/mAP': 0.5}, checkpoint='', seconds=0.05)


def test_trials_without_gpus_run_one_after_the_other_in_their_order():
    trials = [QuickTrial(name) for name in 'abc']
    assert [trial.method for trial, _ in run_trials(trials)] == ['a', 'b', 'c']
    assert [first.span[1] <= second.span[0] for first, second in pairwise(trials)] == [True, True]
    assert trials[0].environment == {}


def test_two_gpus_run_two_trials_side_by_side():
    meeting = threading.Barrier(2)  # a trial that runs alone would wait in vain
    trials = [QuickTrial(name, meeting=meeting) for name in 'ab']
    assert len(list(run_trials(trials, ThisMachine(['2', '5'])))) == 2
    assert {trial.environment['CUDA_VISIBLE_DEVICES'] for trial in trials} == {'2', '5'}


def test_a_gpu_that_is_named_twice_runs_two_trials_side_by_side():
    meeting = threading.Barrier(2)
    trials = [QuickTrial(name, meeting=meeting) for name in 'ab']
    assert len(list(run_trials(trials, ThisMachine(['3', '3'])))) == 2
    assert {trial.environment['CUDA_VISIBLE_DEVICES'] for trial in trials} == {'3'}


def test_a_gpu_runs_one_trial_at_a_time():
    trials = [QuickTrial(name) for name in 'abcdef']
    assert len(list(run_trials(trials, ThisMachine(['2', '5'])))) == 6
    on = {gpu: [t for t in trials if t.environment['CUDA_VISIBLE_DEVICES'] == gpu] for gpu in '25'}
    assert sum(map(len, on.values())) == 6
    for same in on.values():
        spans = sorted(trial.span for trial in same)
        assert not [1 for first, second in pairwise(spans) if first[1] > second[0]]


def test_a_failure_skips_the_other_seeds_of_its_method_only(capsys):
    trials = [QuickTrial('KD', 0, fails=True), QuickTrial('AT', 0)]
    trials += [QuickTrial('KD', 1), QuickTrial('AT', 1)]
    outcomes = {trial.name: outcome for trial, outcome in run_trials(trials)}
    assert list(outcomes) == ['KD, seed 0', 'AT, seed 0', 'AT, seed 1']
    assert isinstance(outcomes['KD, seed 0'], UserError)
    output = capsys.readouterr().out
    assert '[1/4] KD, seed 0: failed: no data' in output
    assert 'KD, seed 1: skipped' in output
    assert '[2/4] AT, seed 0: mAP 50.0 after 0:00:00, about 0:00:00 left' in output


def test_an_interruption_starts_no_further_trial():
    trials = [QuickTrial(name) for name in 'abcdef']
    running = run_trials(trials)
    next(running)
    running.close()
    assert not hasattr(trials[-1], 'span')
    assert threading.active_count() < 20


def test_the_position_of_a_long_training_is_printed(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(run_trials.__globals__, 'REPORT_INTERVAL', 0.02)
    log = tmp_path / 'seed0.log'
    log.write_text('11/24 - INFO - Epoch(train)  [2][ 50/100]  lr: 1e-3  eta: 0:00:45  time: 0.1\n')
    list(run_trials([QuickTrial('KD', log=log, seconds=1)]))  # it may be long until a thread's turn
    assert 'KD, seed 0: Epoch(train)  [2][ 50/100] eta: 0:00:45' in capsys.readouterr().out


def test_no_trials_yield_nothing():
    assert list(run_trials([])) == []

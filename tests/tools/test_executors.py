"""A table whose rows are trained by a Ray cluster, or by the jobs of submitit."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

ray = pytest.importorskip('ray', reason="Ray is not installed: pip install 'nst_det[ray]'")
pytest.importorskip('submitit', reason="submitit is not installed: pip install 'nst_det[slurm]'")

EPOCHS = 5


@pytest.fixture
def rows(write, tiny_config, tiny_distiller):
    """The configs of two rows, the plain student and NST."""
    plain = tiny_config('student', log_level='INFO', method='Baseline')
    nst = tiny_distiller(log_level='INFO', method='NST')
    for cfg in (plain, nst):
        cfg.train_cfg.max_epochs = EPOCHS
    return write(plain, 'baseline.py'), write(nst, 'nst.py')


@pytest.fixture
def two_workers(monkeypatch):
    """A Ray cluster on this machine that runs two tasks at a time."""
    monkeypatch.setenv('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')
    ray.init(
        num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level='error'
    )
    yield
    ray.shutdown()


def worker_of(training: str) -> int | None:
    """The process of the Ray worker whose child trains into this folder."""
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            command = (entry / 'cmdline').read_bytes().decode()
            parent = int((entry / 'stat').read_text().rpartition(')')[2].split()[1])
        except (OSError, UnicodeDecodeError):
            continue
        if 'train.py' in command and training in command:
            return parent
    return None


def kill_worker(training: Path, killed: list[int]) -> None:
    """Kill the worker of a training after its first checkpoint."""
    deadline = time.time() + 120
    while time.time() < deadline:
        if (training / 'epoch_1.pth').exists() and (worker := worker_of(str(training))):
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
            return
        time.sleep(0.02)


def test_ray_runs_a_trial_again_whose_worker_was_killed(tool, rows, two_workers):
    killed: list[int] = []
    killer = threading.Thread(target=kill_worker, args=(Path('table/baseline/seed0'), killed))
    killer.start()
    status, out, err = tool('run_table', *rows, '--work-dir', 'table', '--executor', 'ray')
    killer.join()
    assert status == 0, err
    assert killed
    assert '[2/2]' in out
    logs = {name: Path(f'table/{name}/seed0.log').read_text() for name in ('baseline', 'nst')}
    assert all(Path(f'table/{name}/seed0.json').exists() for name in logs)
    # The first epoch, which had its checkpoint, was not trained again; of the others, at most the
    # one that was cut off.
    epochs = [logs['baseline'].count(f'Epoch(train) [{i}][2/2]') for i in range(1, EPOCHS + 1)]
    assert epochs[0] == 1
    assert sum(epochs) <= EPOCHS + 1 and min(epochs) == 1
    assert logs['baseline'].count('train.py') == 2
    assert logs['nst'].count('train.py') == 1


def test_a_trial_that_fails_on_ray_is_one_line(tool, write, tiny_config, two_workers):
    cfg = tiny_config('student')
    cfg.train_dataloader.dataset.data_root = 'nowhere/'
    call = ['run_table', write(cfg, 'broken.py'), '--executor', 'ray', '--work-dir', 'table']
    status, _, err = tool(*call)
    assert status == 2
    assert '1 of 1 failed, broken, seed 0: tools/train.py failed' in err.splitlines()[-1]
    assert 'no VOC devkit' in err.splitlines()[-1]


def test_a_job_of_submitit_trains_a_row(tool, rows):
    call = ['run_table', rows[0], '--work-dir', 'table', '--executor', 'slurm']
    options = ['--executor-options', 'cluster=local', 'gpus_per_node=0', 'timeout_min=10']
    status, out, err = tool(*call, *options)
    assert status == 0, err
    assert '[1/1] Baseline, seed 0: mAP' in out
    assert list(Path('table/slurm').glob('*_submission.sh')) or list(Path('table/slurm').iterdir())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--jobs', 2], '--jobs is for --executor ray or slurm'),
        (['--jobs', 0], '--jobs is for --executor ray or slurm'),
        (['--executor', 'ray', '--gpus', 0], '--gpus is for this machine'),
        (['--executor', 'ray', '--jobs', 0], '--jobs is 0, expected at least 1'),
        (['--executor', 'slurm'], 'finds no sbatch'),
        (
            ['--executor', 'slurm', '--executor-options', 'cluster=local', 'timout_min=3'],
            '--executor-options: Unknown',
        ),
    ],
)
def test_a_mistake_is_one_line(tool, rows, monkeypatch, options, message):
    monkeypatch.setenv('PATH', str(Path(sys.executable).parent))  # where no Slurm is
    status, _, err = tool('run_table', rows[0], '--work-dir', 'table', *options)
    assert status == 2
    assert message in err.splitlines()[-1]

"""Trainings that are killed, by the tool that users run: forked processes, real signals."""

import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from locations import TOOLS
from mmengine.hooks import DistSamplerSeedHook

from nst_det.fileio import atomic

TRAIN = TOOLS / 'train.py'

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='a process with CUDA cannot fork')


def start(config: Path, work_dir: str, sabotage: Callable[[], None] = lambda: None) -> int:
    """Start ``tools/train.py --resume`` in a process group of its own, and give its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 99  # only the fork gets here, and may not leave into pytest
    try:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sabotage()
        sys.argv = ['train.py', str(config), '--work-dir', work_dir, '--resume']
        runpy.run_path(str(TRAIN), run_name='__main__')
        status = 0
    except SystemExit as left:
        status = left.code
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a process; its status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def check_disk(work_dir: str) -> None:
    """Every checkpoint can be read, and the note names one."""
    for path in Path(work_dir).glob('*.pth'):
        assert 'state_dict' in torch.load(path)
    note = Path(work_dir, 'last_checkpoint')
    assert not note.exists() or Path(note.read_text()).is_file()


def same_weights(one: str, other: str) -> bool:
    left, right = (torch.load(Path(d, 'last_checkpoint').read_text()) for d in (one, other))
    assert left['meta']['iter'] == right['meta']['iter']
    return all(
        torch.equal(value, right[part][key])
        for part in ('state_dict', 'ema_state_dict')
        for key, value in left[part].items()
    )


# What is wrong with a training to be killed.


def amid_writing(name: str) -> None:
    """It dies with half of a file written."""
    sync = os.fsync

    def fsync(number: int) -> None:
        if os.readlink(f'/proc/self/fd/{number}').endswith(f'/{name}.part'):
            os.truncate(number, os.fstat(number).st_size // 2)
            die()
        sync(number)

    atomic.os.fsync = fsync


def after_renaming(name: str) -> None:
    """It dies when a file has just got its name."""
    replace = os.replace

    def rename(part: Path, path: Path) -> None:
        replace(part, path)
        if path.name == name:
            die()

    atomic.os.replace = rename


def amid_step(iteration: int) -> None:
    """It dies between backward and the optimizer's step."""
    step = torch.optim.AdamW.step

    def killing_step(self, *args, **kwargs):
        if any(state['step'] == iteration for state in self.state.values()):
            die()
        return step(self, *args, **kwargs)

    torch.optim.AdamW.step = killing_step


def between_epochs(epoch: int) -> None:
    """It dies before an epoch begins."""
    before = DistSamplerSeedHook.before_train_epoch

    def killing(self, runner) -> None:
        if runner.epoch == epoch:
            die()
        before(self, runner)

    DistSamplerSeedHook.before_train_epoch = killing


@pytest.fixture
def config(write, tiny_distiller, monkeypatch, tmp_path):
    """4 epochs of 2 iterations; one checkpoint is kept."""
    monkeypatch.chdir(tmp_path)
    cfg = tiny_distiller(**{'train_cfg.val_interval': 2, 'train_cfg.max_epochs': 4})
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    return write(cfg)


@pytest.mark.parametrize(
    'kills',
    [
        [(amid_writing, 'epoch_2.pth'), (amid_step, 5)],
        pytest.param(
            [
                (amid_writing, 'epoch_1.pth'),
                (after_renaming, 'epoch_2.pth'),
                (amid_writing, 'last_checkpoint'),
                (after_renaming, 'last_checkpoint'),
                (between_epochs, 3),
                (amid_writing, 'epoch_4.pth'),
            ],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_wherever_it_hurts_a_training_ends_with_the_same_weights(config, kills):
    assert ended(start(config, 'whole')) == 0
    for wrong, moment in kills:
        sabotage = partial(wrong, moment)
        assert ended(start(config, 'killed', sabotage)) == -signal.SIGKILL, sabotage
        check_disk('killed')
    assert ended(start(config, 'killed')) == 0
    assert same_weights('whole', 'killed')


def test_sigterm_to_all_its_processes_saves_and_a_resume_ends_with_the_same_weights(
    config, write, tiny_distiller
):
    cfg = tiny_distiller(**{'train_dataloader.num_workers': 2, 'train_cfg.max_epochs': 3})
    cfg.train_dataloader.batch_size = 1
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    config = write(cfg)
    assert ended(start(config, 'whole')) == 0
    pid = start(config, 'killed')
    while not Path('killed/epoch_1.pth').exists():
        time.sleep(0.01)
    os.killpg(pid, signal.SIGTERM)
    assert ended(pid) == 143
    assert torch.load('killed/interrupted.pth')['meta']['iter'] % 8  # in the middle of an epoch
    assert ended(start(config, 'killed')) == 0
    assert same_weights('whole', 'killed')


@pytest.mark.slow
def test_dozens_of_kills_at_random_moments_lose_nothing(config, tmp_path):
    began = time.monotonic()
    assert ended(start(config, 'whole')) == 0
    whole = time.monotonic() - began
    draw, kills, trainings = random.Random(0), 0, 0
    while kills < 60:
        work_dir = str(tmp_path / f'killed_{trainings}')
        status = -signal.SIGKILL
        while status == -signal.SIGKILL:
            pid = start(config, work_dir)
            time.sleep(draw.uniform(0, whole))
            os.kill(pid, signal.SIGKILL)  # one that has ended stays for us to wait for
            status = ended(pid)
            kills += status == -signal.SIGKILL
            check_disk(work_dir)
        assert status == 0
        assert same_weights('whole', work_dir)
        trainings += 1
    print(f'{kills} kills at random moments of {trainings} trainings: all ended bit for bit alike')

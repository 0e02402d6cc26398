"""CheckpointHook loses no checkpoint before the next one is complete on disk."""

import itertools
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.fileio.backends import LocalBackend
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nst_det.engine.hooks import checkpoint_hook
from nst_det.errors import UserError


def names(folder) -> set[str]:
    return {path.name for path in Path(folder).iterdir() if path.is_file()}


def kept(cfg, **options):
    cfg.train_cfg.update(max_epochs=3, val_interval=1)
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, **options)
    return Runner.from_cfg(cfg)


def test_every_mmdet_config_uses_this_checkpoint_hook(tiny_config):
    runner = Runner.from_cfg(tiny_config('student'))
    assert any(type(hook) is checkpoint_hook.CheckpointHook for hook in runner.hooks)


def test_an_old_checkpoint_is_removed_after_the_new_one_is_on_disk(tiny_config, monkeypatch):
    runner = kept(tiny_config('student'), save_best='auto', rule='greater')
    removed = []
    remove = LocalBackend.remove

    def watched(self, path):
        note = Path(runner.work_dir, 'last_checkpoint').read_text()
        assert torch.load(note)['meta']['iter'] == runner.iter
        removed.append(Path(path).name)
        remove(self, path)

    monkeypatch.setattr(LocalBackend, 'remove', watched)
    runner.train()
    assert {'epoch_1.pth', 'epoch_2.pth'} <= set(removed)
    assert {name for name in names(runner.work_dir) if name.startswith('epoch')} == {'epoch_3.pth'}
    best = runner.message_hub.get_info('best_ckpt')
    assert {name for name in names(runner.work_dir) if 'best' in name} == {Path(best).name}


def test_a_new_best_adds_no_checkpoint_between_those_of_the_interval(tiny_config, monkeypatch):
    cfg = tiny_config('student')
    cfg.train_cfg.update(max_epochs=5, val_interval=1)
    cfg.default_hooks.checkpoint.update(
        interval=2, save_last=False, max_keep_ckpts=-1, save_best='score', rule='greater'
    )
    runner = Runner.from_cfg(cfg)
    rising = itertools.count(1)
    monkeypatch.setattr(Evaluator, 'evaluate', lambda self, size: dict(score=next(rising)))
    runner.train()
    assert {name for name in names(runner.work_dir) if name.endswith('.pth')} == {
        'epoch_2.pth',
        'epoch_4.pth',
        'best_score_epoch_5.pth',
    }
    # The checkpoint of an epoch that was the best names its own best one.
    info = torch.load(Path(runner.work_dir, 'epoch_4.pth'))['message_hub']['runtime_info']
    assert Path(info['best_ckpt']).name == 'best_score_epoch_4.pth'


@pytest.mark.parametrize('failing', ['epoch_2.pth', 'last_checkpoint'])
def test_a_full_disk_leaves_the_last_checkpoint(tiny_config, monkeypatch, failing):
    runner = kept(tiny_config('student'))
    replace = os.replace

    def full(part, path):
        if Path(path).name == failing and runner.epoch == 1:
            raise OSError(28, 'No space left on device')
        replace(part, path)

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(UserError, match=r'cannot write .* No space left .* complete one .*epoch_1'):
        runner.train()
    left = names(runner.work_dir)
    assert 'epoch_1.pth' in left
    assert not any(name.endswith('.part') for name in left)
    assert torch.load(Path(runner.work_dir, 'last_checkpoint').read_text())['meta']['epoch'] == 1


def test_a_lack_of_room_is_an_error_before_the_first_iteration(tiny_config, monkeypatch):
    usage = checkpoint_hook.shutil.disk_usage
    monkeypatch.setattr(
        checkpoint_hook.shutil, 'disk_usage', lambda path: usage(path)._replace(free=100_000)
    )
    runner = Runner.from_cfg(tiny_config('student'))
    with pytest.raises(UserError, match=r'no room in .*: 0 MiB are free .* takes about 2 MiB'):
        runner.train()
    assert runner.iter == 0


def test_a_folder_that_is_not_writable_is_an_error_before_the_first_iteration(
    tiny_config, tmp_path
):
    (tmp_path / 'taken').write_text('')
    runner = kept(tiny_config('student'), out_dir=str(tmp_path / 'taken'))
    with pytest.raises(UserError, match=r'cannot write checkpoints into .*taken'):
        runner.train()
    assert runner.iter == 0


def test_checkpoint_bytes_estimates_the_size_of_a_checkpoint(tiny_config):
    cfg = tiny_config('student')
    cfg.custom_hooks = [dict(type='EMAHook')]
    runner = Runner.from_cfg(cfg)
    runner.train()
    size = Path(runner.work_dir, 'epoch_2.pth').stat().st_size
    assert 0.7 * size < checkpoint_hook.checkpoint_bytes(runner) < size


class Signal(Hook):
    """Sends SIGTERM to this process, as a scheduler does."""

    def __init__(self, at: str, iteration: int) -> None:
        setattr(self, at, self.send)
        self.iteration = iteration

    def send(self, runner, *args, **kwargs) -> None:
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    def get_triggered_stages(self) -> list:
        return []


@pytest.mark.parametrize('at', ['before_train_iter', 'before_val_iter'])
def test_sigterm_saves_the_weights_in_training_and_exits(tiny_config, at):
    cfg = tiny_config('student', **{'train_cfg.val_interval': 1})
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.5, update_buffers=True)]
    before = signal.getsignal(signal.SIGTERM)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Signal(at, 2))  # in the second epoch, or the validation before it
    with pytest.raises(SystemExit) as left:
        runner.train()
    assert left.value.code == 143
    path = Path(runner.work_dir, 'interrupted.pth')
    assert Path(runner.work_dir, 'last_checkpoint').read_text() == str(path)
    saved = torch.load(path)
    assert saved['meta']['iter'] == (3 if at == 'before_train_iter' else 2)
    # With an EMA, ``ema_state_dict`` of a checkpoint holds the weights in training.
    epoch = torch.load(Path(runner.work_dir, 'epoch_1.pth'))
    unchanged = all(
        torch.equal(value, epoch['ema_state_dict'][key])
        for key, value in saved['ema_state_dict'].items()
    )
    assert unchanged == (at == 'before_val_iter')
    signal.signal(signal.SIGTERM, before)


def test_a_validation_interrupted_by_sigterm_runs_after_resuming(tiny_config):
    cfg = tiny_config('student', **{'train_cfg.val_interval': 2})
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Signal('before_val_iter', 4))
    with pytest.raises(SystemExit):
        runner.train()
    cfg.resume = True
    cfg.experiment_name = 'resumed'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 'val/pascal_voc/mAP' in runner.message_hub.log_scalars


class Forks(Hook):
    """Starts a process during training and ends it by SIGTERM, as a pool of processes does."""

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter:
            return
        fork = multiprocessing.get_context('fork')
        started = fork.Event()
        sleeper = fork.Process(target=lambda: started.set() or time.sleep(60))
        sleeper.start()
        started.wait(10)
        sleeper.terminate()
        sleeper.join(5)
        self.status = sleeper.exitcode
        sleeper.kill()


def test_sigterm_ends_a_forked_process_as_usual(tiny_config):
    runner = Runner.from_cfg(tiny_config('student', **{'train_cfg.max_epochs': 1}))
    hook = Forks()
    runner.register_hook(hook)
    runner.train()
    assert hook.status == -signal.SIGTERM

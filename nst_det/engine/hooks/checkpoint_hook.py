"""Checkpoints that nothing is lost by: not by a kill, a full disk or a scheduler's signal."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.fileio.backends import LocalBackend
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from nst_det.engine.runner.unwrap_model import unwrap_model
from nst_det.errors import UserError
from nst_det.fileio.atomic import write_atomically

INTERRUPTED = 'interrupted.pth'
TERMINATED = 128 + signal.SIGTERM  # the exit status of a process that SIGTERM ended


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """mmengine's hook, with the order of its steps such that nothing is lost at any moment.

    - A checkpoint that a newer one replaces is deleted only when the newer one is on disk, whole;
      so is the best one. ``last_checkpoint`` names a checkpoint only then, and is itself written
      at a stroke.
    - Before the training starts it is checked that the folder can be written and has room for a
      checkpoint.
    - Weights that are no numbers are not saved.
    - After SIGTERM the iteration is ended, ``interrupted.pth`` saved, and the process left with
      status 143. A second SIGTERM ends it at once.
    - Gradients that are accumulated but not applied yet travel in the checkpoint.

    It takes the place of mmengine's in every config of mmdet's scope, and takes the same arguments.

    Raises:
        UserError: Where there is no room, the folder cannot be written, or weights are no numbers.
    """

    file_backend: Any
    terminated = False
    validates_first = False

    # Before, and at the end.

    def before_train(self, runner: Runner) -> None:
        """Find the folder, see whether it will do, and listen to SIGTERM."""
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, LocalBackend):
            check_room(self.out_dir, checkpoint_bytes(runner))
        if threading.current_thread() is threading.main_thread():
            self.process = os.getpid()
            self.last_handler = signal.signal(signal.SIGTERM, self._on_sigterm)
        if self.validates_first:
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Publish the checkpoint where that is asked for."""
        super().after_train(runner)
        if hasattr(self, 'last_handler'):
            signal.signal(signal.SIGTERM, self.last_handler)

    # What a checkpoint holds.

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights that are about to be written, and add what resuming needs besides.

        Raises:
            UserError: Where a weight is infinite or NaN.
        """
        for part in ('state_dict', 'ema_state_dict'):
            for name, value in checkpoint.get(part, {}).items():
                if value.is_floating_point() and not value.isfinite().all():
                    raise UserError(
                        f'weights not finite after iteration {runner.iter}, such as {name}: not '
                        'saved. Lower the learning rate or the loss weight, or clip gradients'
                    )
        if 'optimizer' in checkpoint and get_world_size() == 1:
            gradients = {
                name: parameter.grad.cpu()
                for name, parameter in unwrap_model(runner).named_parameters()
                if parameter.grad is not None
            }
            if gradients:
                checkpoint['gradients'] = gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the gradients that were not applied yet, and a validation that was cut short."""
        if not runner._resume:
            return
        gradients = checkpoint.get('gradients', {})
        for name, parameter in unwrap_model(runner).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)
        self.validates_first = checkpoint['meta'].get('validation_cut', False)

    # Writing them.

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._save(runner, name, meta)
        if outdated and is_main_process():
            _remove(self.file_backend, self.file_backend.join_path(self.out_dir, outdated))

    def _save(self, runner: Runner, name: str, meta: dict) -> None:
        """Write a checkpoint, and then the note that says it is the last."""
        note = Path(runner.work_dir) / 'last_checkpoint'
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                write_atomically(note, self.file_backend.join_path(self.out_dir, name).encode())
        except OSError as error:
            last = note.read_text() if note.is_file() else 'none'
            raise UserError(
                f'cannot write the checkpoint {name} into {self.out_dir}: '
                f'{error.strerror or error}; the last whole one is {last}: make room, then --resume'
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        backend = self.file_backend
        self.file_backend = later = _RemovesLater(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = [getattr(self, 'best_ckpt_path', None)]
        best += getattr(self, 'best_ckpt_path_dict', {}).values()
        for path in later.paths:
            if path not in best:  # the new one may bear the old one's name
                _remove(backend, path)

    # SIGTERM.

    def _on_sigterm(self, signum: int, frame: object) -> None:
        # A process forked from this one (mmdet's metrics have pools of them) is to end as ever.
        if self.terminated or os.getpid() != self.process:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.terminated = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save where it is time to; save and leave where SIGTERM came."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        terminated = self.terminated
        if get_world_size() > 1:  # all of them leave after the same iteration
            flag = torch.tensor(float(terminated))
            all_reduce(flag, 'max')
            terminated = bool(flag)
        if terminated:
            self._leave(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save and leave where SIGTERM came; the resumed training validates first."""
        if self.terminated and get_world_size() == 1:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # the weights in training take their place again
            self._leave(runner, dict(epoch=runner.epoch, iter=runner.iter, validation_cut=True))

    def _leave(self, runner: Runner, meta: dict) -> None:
        self._save(runner, INTERRUPTED, meta)
        barrier()
        runner.logger.warning(
            f'SIGTERM after iteration {meta["iter"]}: saved as '
            f'{self.file_backend.join_path(self.out_dir, INTERRUPTED)}; go on by --resume'
        )
        raise SystemExit(TERMINATED)


class _RemovesLater:
    """A storage that only remembers what to remove."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.paths: list[str] = []

    def remove(self, path: str) -> None:
        self.paths.append(path)

    rmtree = remove

    def __getattr__(self, name: str) -> Callable:
        return getattr(self.backend, name)


def checkpoint_bytes(runner: Runner) -> int:
    """About how large a checkpoint will be.

    Args:
        runner (Runner): A runner whose model and optimizer are built.

    Returns:
        int: Bytes: the weights, as many again for an EMA, and what the optimizer keeps.
    """
    model = unwrap_model(runner)
    size = sum(value.nbytes for value in model.state_dict().values())
    size += size * sum(isinstance(hook, EMAHook) for hook in runner.hooks)
    options = getattr(getattr(runner.optim_wrapper, 'optimizer', None), 'defaults', {})
    kept = 2 if 'betas' in options else bool(options.get('momentum'))  # Adam's two moments, or one
    return size + kept * sum(value.nbytes for value in model.parameters() if value.requires_grad)


def check_room(folder: str, needed: int) -> None:
    """Check that a checkpoint can be written.

    Args:
        folder (str): Where; it is made where it is missing.
        needed (int): How many bytes it will have.

    Raises:
        UserError: Where the folder cannot be written or has no room.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(
            f'cannot write checkpoints into {folder}: {error.strerror}; choose another --work-dir'
        ) from error
    if free < needed:
        raise UserError(
            f'no room in {folder}: {free / 2**20:.0f} MiB are free and a checkpoint takes about '
            f'{needed / 2**20:.0f} MiB; make room or choose another --work-dir'
        )


def _remove(backend: Any, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):  # a checkpoint of DeepSpeed's
        backend.rmtree(path)

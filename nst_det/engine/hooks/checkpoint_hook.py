"""Checkpoints that survive a kill, a full disk and the signal of a scheduler."""

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
    """The hook of mmengine, changed so that the last complete checkpoint always stays on disk.

    - An old checkpoint is deleted only after the newer one is complete on disk; the same holds for
      the best one. ``last_checkpoint`` is written after that, atomically.
    - ``interval`` says which epochs or iterations are saved; mmengine also saves each that is a new
      best.
    - Before the training starts, the hook checks that the folder can be written and has room for
      a checkpoint.
    - NaN or infinite weights are not saved.
    - After SIGTERM the current iteration is completed, ``interrupted.pth`` is saved, and the
      process exits with status 143. A second SIGTERM ends it at once.
    - Gradients that are accumulated but not applied yet are saved in the checkpoint.

    In the scope of mmdet it replaces the hook of mmengine, and takes the same arguments.

    Raises:
        UserError: If there is no room, the folder cannot be written, or weights are NaN or
            infinite.
    """

    file_backend: Any
    last_ckpt: str
    terminated = False
    validates_first = False
    saving_best = False

    # Before and after the training.

    def before_train(self, runner: Runner) -> None:
        """Check the folder, and install the handler of SIGTERM."""
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, LocalBackend):
            check_room(self.out_dir, checkpoint_bytes(runner))
        if threading.current_thread() is threading.main_thread():
            self.process = os.getpid()
            self.last_handler = signal.signal(signal.SIGTERM, self._on_sigterm)
        if self.validates_first:
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Publish the checkpoint if the config asks for it, and remove the handler of SIGTERM."""
        super().after_train(runner)
        if hasattr(self, 'last_handler'):
            signal.signal(signal.SIGTERM, self.last_handler)

    # The contents of a checkpoint.

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights that will be written, and add the accumulated gradients.

        Raises:
            UserError: If a weight is NaN or infinite.
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
        """Restore accumulated gradients, and note whether a validation was interrupted."""
        if not runner._resume:
            return
        gradients = checkpoint.get('gradients', {})
        for name, parameter in unwrap_model(runner).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)
        self.validates_first = checkpoint['meta'].get('validation_cut', False)

    # Writing a checkpoint.

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        name = self.filename_tmpl.format(step)
        if self.saving_best and Path(self.last_ckpt).name != name:
            return  # the interval did not ask for this one, so there is none to be updated
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._save(runner, name, meta)
        if outdated and is_main_process():
            _remove(self.file_backend, self.file_backend.join_path(self.out_dir, outdated))

    def _save(self, runner: Runner, name: str, meta: dict) -> None:
        """Write a checkpoint, and then ``last_checkpoint``, which names it."""
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
                f'{error.strerror or error}; the last complete one is {last}: make room, then '
                '--resume'
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        backend = self.file_backend
        self.file_backend = deferred = _DeferredRemoval(backend)
        self.saving_best = True
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend, self.saving_best = backend, False
        best = [getattr(self, 'best_ckpt_path', None)]
        best += getattr(self, 'best_ckpt_path_dict', {}).values()
        for path in deferred.paths:
            if path not in best:  # the new checkpoint may have the name of the old one
                _remove(backend, path)

    # SIGTERM.

    def _on_sigterm(self, signum: int, frame: object) -> None:
        # A process forked from this one, such as a worker of a metric, must end as usual.
        if self.terminated or os.getpid() != self.process:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.terminated = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save if the interval has passed; save and exit after SIGTERM."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        terminated = self.terminated
        if get_world_size() > 1:  # all processes must exit after the same iteration
            flag = torch.tensor(float(terminated))
            all_reduce(flag, 'max')
            terminated = bool(flag)
        if terminated:
            self._exit(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save and exit after SIGTERM; the resumed training begins with the validation."""
        if self.terminated and get_world_size() == 1:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # swaps the weights in training back in
            self._exit(runner, dict(epoch=runner.epoch, iter=runner.iter, validation_cut=True))

    def _exit(self, runner: Runner, meta: dict) -> None:
        self._save(runner, INTERRUPTED, meta)
        barrier()
        runner.logger.warning(
            f'SIGTERM after iteration {meta["iter"]}: saved as '
            f'{self.file_backend.join_path(self.out_dir, INTERRUPTED)}; resume with --resume'
        )
        raise SystemExit(TERMINATED)


class _DeferredRemoval:
    """A file backend that collects the paths to remove instead of removing them."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.paths: list[str] = []

    def remove(self, path: str) -> None:
        self.paths.append(path)

    rmtree = remove

    def __getattr__(self, name: str) -> Callable:
        return getattr(self.backend, name)


def checkpoint_bytes(runner: Runner) -> int:
    """Estimate the size of a checkpoint.

    Args:
        runner (Runner): A runner whose model and optimizer are built.

    Returns:
        int: Bytes: the weights, the same again for an EMA, and the state of the optimizer.
    """
    model = unwrap_model(runner)
    size = sum(value.nbytes for value in model.state_dict().values())
    size += size * sum(isinstance(hook, EMAHook) for hook in runner.hooks)
    options = getattr(getattr(runner.optim_wrapper, 'optimizer', None), 'defaults', {})
    # Adam keeps two values for each weight, momentum one.
    states = 2 if 'betas' in options else int(bool(options.get('momentum')))
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    return size + states * trained


def check_room(folder: str, needed: int) -> None:
    """Check that a checkpoint can be written.

    Args:
        folder (str): The folder; it is created if it is missing.
        needed (int): The size of a checkpoint in bytes.

    Raises:
        UserError: If the folder cannot be written or has no room.
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
    elif backend.isdir(path):  # DeepSpeed writes a folder
        backend.rmtree(path)

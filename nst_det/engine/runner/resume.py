"""The checkpoint from which a training resumes: the newest that is complete."""

import sys
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from nst_det.config.validators import check_integer
from nst_det.errors import UserError, one_line
from nst_det.fileio.state_dict import read_checkpoint


def last_checkpoint(work_dir: str | Path) -> str | None:
    """Read the name of the checkpoint that a training saved last.

    Args:
        work_dir (str or Path): The training's folder.

    Returns:
        str, optional: The path as the training noted it in the file ``last_checkpoint``. None if
        there is no such file, or it is empty.
    """
    note = Path(work_dir) / 'last_checkpoint'
    text = note.read_text(errors='replace') if note.is_file() else ''
    return text.strip('\0 \n') or None


def latest_training(work_dir: str | Path) -> str | None:
    """Find the newest complete checkpoint from which a training can resume.

    This is the checkpoint that the file ``last_checkpoint`` names. If that file or that checkpoint
    is missing or broken, the newest complete checkpoint of the folder is taken. Every checkpoint
    that is passed over is named on standard error, with the reason.

    Args:
        work_dir (str or Path): The training's folder.

    Returns:
        str, optional: Its path. None if the folder holds no checkpoint at all.

    Raises:
        UserError: If the folder holds checkpoints, and none of them can be resumed.
    """
    last = last_checkpoint(work_dir)
    others = sorted(
        Path(work_dir).glob('*.pth'), key=lambda path: path.stat().st_mtime, reverse=True
    )
    # In a folder that was moved, the noted checkpoint has another path.
    noted = [Path(last), Path(work_dir) / Path(last).name] if last else []
    paths = list(dict.fromkeys(path.absolute() for path in [*noted, *others]))
    for path in paths:
        try:
            read_training(str(path))
        except UserError as error:
            print(f'checkpoint passed over: {error}', file=sys.stderr)
        else:
            return str(path)
    if paths:
        raise UserError(
            f'{work_dir} holds no complete checkpoint to resume: start in another --work-dir'
        )
    return None


def read_training(path: str) -> dict:
    """Read a checkpoint from which a training is to resume.

    Args:
        path (str): The checkpoint.

    Returns:
        dict: Its content.

    Raises:
        UserError: If it cannot be read, or does not contain the state of a training.
    """
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not {'optimizer', 'message_hub'} <= set(content):
        raise UserError(
            f'{path} holds only weights, so no training can be resumed from it: start a new one '
            f'from these weights with --cfg-options load_from={path}'
        )
    meta = content.get('meta')
    if not isinstance(meta, dict):
        raise UserError(f'{path} cannot be resumed: its meta is {meta!r:.80}, expected a dict')
    numbers = dict(epoch=meta.get('epoch'), iter=meta.get('iter'), seed=meta.get('seed', 0))
    for name, value in numbers.items():
        try:
            check_integer(name, value, 0, 2**32 - 1 if name == 'seed' else sys.maxsize)
        except UserError as error:
            raise UserError(f'{path} cannot be resumed: its {error}') from error
    return content


def resume_with_clear_errors(runner: Runner) -> None:
    """Let a runner report in one line why it cannot resume a checkpoint.

    Args:
        runner (Runner): The runner. An error of its method ``resume`` becomes a `UserError`.
    """
    resume = runner.resume

    def resume_or_report(path: str, *args: Any, **kwargs: Any) -> None:
        try:
            resume(path, *args, **kwargs)
        except UserError:
            raise
        except Exception as error:  # mmengine and torch raise anything, such as a KeyError
            raise UserError(
                f'{path} cannot be resumed with this config ({one_line(error):.200}): resume with '
                'the config that it was started with'
            ) from error

    runner.resume = resume_or_report

"""Finding the training that is to be gone on with."""

import sys
from pathlib import Path
from typing import Any

from mmengine.runner import Runner

from nst_det.errors import UserError
from nst_det.fileio.state_dict import read_checkpoint


def last_note(work_dir: str | Path) -> str | None:
    """Read which checkpoint a training wrote last.

    Args:
        work_dir (str or Path): The training's folder.

    Returns:
        str, optional: The path as it was noted, None where nothing was.
    """
    note = Path(work_dir) / 'last_checkpoint'
    text = note.read_text(errors='replace') if note.is_file() else ''
    return text.strip('\0 \n') or None


def latest_training(work_dir: str | Path) -> str | None:
    """Find the newest whole checkpoint that a training can go on from.

    That is the one that ``last_checkpoint`` names; where it is missing or broken, the newest other
    one of the folder, and every broken one is named on standard error.

    Args:
        work_dir (str or Path): The training's folder.

    Returns:
        str, optional: Its path; None where the folder holds no checkpoint at all.

    Raises:
        UserError: Where it holds checkpoints, none of which will do.
    """
    last = last_note(work_dir)
    others = sorted(
        Path(work_dir).glob('*.pth'), key=lambda path: path.stat().st_mtime, reverse=True
    )
    # A folder that was moved has the noted checkpoint under another path.
    noted = [Path(last), Path(work_dir) / Path(last).name] if last else []
    paths = list(dict.fromkeys(path.absolute() for path in [*noted, *others]))
    for path in paths:
        try:
            check_resumable(str(path))
        except UserError as fault:
            print(f'passed over: {fault}', file=sys.stderr)
        else:
            return str(path)
    if paths:
        raise UserError(f'{work_dir} holds no whole checkpoint to resume: start in another one')
    return None


def check_resumable(path: str) -> dict:
    """Read a checkpoint that a training is to go on from.

    Args:
        path (str): The checkpoint.

    Returns:
        dict: What it holds.

    Raises:
        UserError: Where it cannot be read, or holds no training.
    """
    holds = read_checkpoint(path)
    if not isinstance(holds, dict) or not {'optimizer', 'message_hub'} <= set(holds):
        raise UserError(
            f'{path} holds weights and no training to resume: start from it by '
            f'--cfg-options load_from={path}'
        )
    meta = holds.get('meta')
    if not isinstance(meta, dict):
        raise UserError(f'{path} holds no training: its meta is {meta!r:.80}, expected a dict')
    for name, most in (('epoch', sys.maxsize), ('iter', sys.maxsize), ('seed', 2**32 - 1)):
        number = meta.get(name, 0 if name == 'seed' else None)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
            raise UserError(
                f'{path} holds no training: its {name} is {number!r:.80}, expected a whole number '
                'of at least 0'
            )
    return holds


def resume_with_clear_errors(runner: Runner) -> None:
    """Have a runner say in one line why it cannot resume a checkpoint.

    Args:
        runner (Runner): The runner; the error of its ``resume`` becomes a `UserError`.
    """
    resume = runner.resume

    def plainly(path: str, *args: Any, **kwargs: Any) -> None:
        try:
            resume(path, *args, **kwargs)
        except UserError:
            raise
        except Exception as error:  # what mmengine and torch say of another optimizer, say
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
            raise UserError(
                f'{path} cannot be resumed with this config ({reason:.200}): resume with the '
                'config that it was started with'
            ) from error

    runner.resume = plainly

"""One detector, one seed: trained and tested once, resumed where it was killed."""

import json
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config

from nst_det.config.load import load_config
from nst_det.config.settings import RUNNER_KEYS
from nst_det.errors import UserError
from nst_det.experiments.tool_calls import ToolCalls, train_and_test
from nst_det.fileio.atomic import write_atomically


@dataclass
class Result:
    """What a trial gave.

    Args:
        mAP (float): VOC mAP on the test set, from 0 to 1.
        aps (dict[str, float]): AP by class, of those that have objects.
        checkpoint (str): The weights that were tested.
        seconds (float): How long training and testing took, in the call that finished them.
    """

    mAP: float
    aps: dict[str, float]
    checkpoint: str
    seconds: float


class Trial:
    """A config to be trained and tested with one seed.

    On disk, beside the folder ``seed0/`` with the training's log and checkpoints, ``seed0.py`` is
    the whole config that is trained, and ``seed0.json``, which is there only once all is done, its
    result.

    Args:
        method (str): What the table calls it.
        cfg (Config): The config, all other changes made; it is not changed.
        seed (int): The seed.
        folder (Path): Where it goes: ``WORK_DIR/<name of the config>``.
        tools (Path): The folder of ``train.py`` and ``test.py``.
    """

    def __init__(self, method: str, cfg: Config, seed: int, folder: Path, tools: Path) -> None:
        self.method = method
        self.cfg = deepcopy(cfg)
        self.cfg.merge_from_dict({'randomness.seed': seed})
        self.seed = seed
        self.folder = folder
        self.tools = tools
        self.name = f'{method}, seed {seed}'
        self.work_dir = folder / f'seed{seed}'
        self.config = folder / f'seed{seed}.py'
        self.result_file = folder / f'seed{seed}.json'
        self.log = folder / f'seed{seed}.log'

    def result(self) -> Result | None:
        """What it gave.

        Returns:
            Result or None: None where it is not finished.

        Raises:
            UserError: Where the file of the result cannot be read.
        """
        if not self.result_file.is_file():
            return None
        try:
            return Result(**json.loads(self.result_file.read_text()))
        except (ValueError, TypeError) as error:
            raise UserError(
                f'{self.result_file} is no result of a trial ({error}): move it away, and the '
                'test is done again'
            ) from error

    @property
    def begun(self) -> bool:
        """bool: Whether there is a checkpoint or a result of it."""
        return self.result_file.exists() or any(self.work_dir.glob('*.pth'))

    def check(self) -> None:
        """Check that what is on disk was made with this very config.

        What ended before its first checkpoint holds nothing, so that it may begin with any.

        Raises:
            UserError: Where it was not; it names the first setting that differs.
        """
        if not self.config.is_file():
            if self.work_dir.exists() or self.result_file.exists():
                raise UserError(
                    f'{self.work_dir} is there without {self.config}, the config that it was made '
                    'with: move it away, or choose another --work-dir'
                )
            return
        if not self.begun:
            return
        before, now = _settings(load_config(str(self.config))), _settings(self.cfg)
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            key = changed[0]
            was, is_now = (str(settings.get(key))[:80] for settings in (before, now))
            more = f' (and {len(changed) - 1} more)' if changed[1:] else ''
            raise UserError(
                f'{self.name} was trained with another config: {key} was {was} and is {is_now}'
                f'{more}; choose another --work-dir, or move {self.folder} away'
            )

    def run(
        self, environment: Mapping[str, str] | None = None, keep_open: Sequence[int] = ()
    ) -> Result:
        """Train and test, from where an earlier call was killed.

        Args:
            environment (Mapping[str, str], optional): Variables for the tools. Defaults to None.
            keep_open (Sequence[int]): Files that the tools inherit. Defaults to none.

        Returns:
            Result: What it gave.

        Raises:
            UserError: Where a tool fails, or the test reports no VOC mAP.
        """
        started = time.time()
        if not (self.begun and self.config.is_file()):
            write_atomically(self.config, self.cfg.pretty_text.encode())
        call = ToolCalls(self.tools, self.log, environment, keep_open)
        tested = train_and_test(call, self.config, self.work_dir, resume=True)
        seconds = time.time() - started
        result = Result(tested.mAP, tested.aps, str(tested.checkpoint), seconds)
        write_atomically(self.result_file, f'{json.dumps(asdict(result), indent=1)}\n'.encode())
        return result


def _settings(cfg: Config) -> dict[str, object]:
    """What a config says of the training and its test, by dotted key."""
    flat: dict[str, object] = {}

    def walk(value: object, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, child in value.items():
                walk(child, f'{key}.{name}')
        elif isinstance(value, (list, tuple)) and value:
            for i, child in enumerate(value):
                walk(child, f'{key}.{i}')
        else:
            flat[key] = value

    for key, value in cfg.to_dict().items():
        if key in (*RUNNER_KEYS, 'teacher_sha256') and key not in ('work_dir', 'resume'):
            walk(value, key)
    return flat

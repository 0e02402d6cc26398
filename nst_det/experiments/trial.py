"""A trial: one config with one seed, trained and tested, and resumed after an interruption."""

import json
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nst_det.config.load import load_config
from nst_det.config.settings import RUNNER_KEYS
from nst_det.errors import UserError
from nst_det.evaluation import Results
from nst_det.experiments.tool_calls import ToolCalls
from nst_det.experiments.train_and_test import train_and_test
from nst_det.fileio.atomic import write_atomically


@dataclass
class Result:
    """The result of a trial.

    Args:
        metrics (dict[str, float]): The values that the test reported, by key.
        checkpoint (str): The checkpoint that was tested.
        seconds (float): The time of training and testing in the call that finished them.
        evaluators (dict, list[dict] or None): The ``test_evaluator`` of the config, which is not
            kept on disk. Defaults to None.
    """

    metrics: dict[str, float]
    checkpoint: str
    seconds: float
    evaluators: Any = None

    @property
    def results(self) -> Results:
        """Results: The metrics, read."""
        return self.read()

    def read(self, main: str | None = None) -> Results:
        """Read the metrics.

        Args:
            main (str, optional): The key of the metric to compare by. Defaults to None: see
                :class:`Results`.

        Returns:
            Results: The metrics.
        """
        return Results(self.metrics, self.evaluators, main)


class Trial:
    """A config that is trained and tested with one seed.

    On disk, ``seed0/`` holds the checkpoints and the log of the training, ``seed0.py`` the complete
    config, and ``seed0.json`` the result. The last is written when the trial is finished.

    Args:
        method (str): The name of its row in the table.
        cfg (Config): The config with all other changes. It is not changed.
        seed (int): The seed.
        folder (Path): The folder of the trial: ``WORK_DIR/<name of the config>``.
        tools (Path): The folder of ``train.py`` and ``test.py``.
        validate (bool): Validate during the training as the config says. Defaults to False.
    """

    def __init__(
        self,
        method: str,
        cfg: Config,
        seed: int,
        folder: Path,
        tools: Path,
        validate: bool = False,
    ) -> None:
        self.method = method
        self.cfg = deepcopy(cfg)
        self.cfg.merge_from_dict({'randomness.seed': seed})
        self.seed = seed
        self.folder = folder
        self.tools = tools
        self.validate = validate
        self.name = f'{method}, seed {seed}'
        self.work_dir = folder / f'seed{seed}'
        self.config = folder / f'seed{seed}.py'
        self.result_file = folder / f'seed{seed}.json'
        self.log = folder / f'seed{seed}.log'

    def result(self) -> Result | None:
        """Read the result.

        Returns:
            Result or None: The result; None if the trial is not finished.

        Raises:
            UserError: If the file of the result cannot be read.
        """
        if not self.result_file.is_file():
            return None
        try:
            content = json.loads(self.result_file.read_text())
            content['evaluators'] = self.cfg.get('test_evaluator')
            result = Result(**content)
            if result.results.main is None:
                raise ValueError('it has no metric')
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f'{self.result_file} is no result of a trial ({error}): move it away to test again'
            ) from error
        return result

    @property
    def begun(self) -> bool:
        """bool: Whether there is a checkpoint or a result of this trial."""
        return self.result_file.exists() or any(self.work_dir.glob('*.pth'))

    def check(self) -> None:
        """Check that the files on disk were made with the same config.

        A training that ended before its first checkpoint may begin again with another config.

        Raises:
            UserError: If the config differs. The message names the first setting that differs.
        """
        if not self.config.is_file():
            if self.work_dir.exists() or self.result_file.exists():
                raise UserError(
                    f'{self.work_dir} exists without {self.config}, the config of its training: '
                    'move it away, or choose another --work-dir'
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
        """Train and test, or resume the training that an earlier call began.

        Args:
            environment (Mapping[str, str], optional): Environment variables of the tools. Defaults
                to None.
            keep_open (Sequence[int]): File descriptors that the tools inherit. Defaults to none.

        Returns:
            Result: The result.

        Raises:
            UserError: If a tool fails, or the test reports no metric.
        """
        started = time.time()
        if not (self.begun and self.config.is_file()):
            write_atomically(self.config, self.cfg.pretty_text.encode())
        call = ToolCalls(self.tools, self.log, environment, keep_open)
        tested = train_and_test(
            call, self.config, self.work_dir, resume=True, validate=self.validate
        )
        seconds = time.time() - started
        evaluators = self.cfg.get('test_evaluator')
        result = Result(tested.results.values, str(tested.checkpoint), seconds, evaluators)
        content = asdict(replace(result, evaluators=None))
        write_atomically(self.result_file, f'{json.dumps(content, indent=1)}\n'.encode())
        return result


def _settings(cfg: Config) -> dict[str, object]:
    """The settings of a config that training and test depend on, by dotted key."""
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

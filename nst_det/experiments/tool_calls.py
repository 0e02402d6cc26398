"""Training and testing a detector by the tools, each in a process of its own, as a user would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nst_det.errors import UserError


@dataclass
class ToolCalls:
    """How the tools are called.

    Args:
        folder (Path): Where ``train.py`` and ``test.py`` are.
        log (Path, optional): The file that their output is appended to. Defaults to None: it goes
            where this process's goes.
        environment (Mapping[str, str], optional): Variables to set. Defaults to None.
        keep_open (Sequence[int]): Files of this process that they inherit. Defaults to none.
    """

    folder: Path
    log: Path | None = None
    environment: Mapping[str, str] | None = None
    keep_open: Sequence[int] = ()

    def __call__(self, tool: str, *arguments: object) -> None:
        """Run a tool, below a line with its command, and wait for it.

        Args:
            tool (str): Its name, such as ``'train'``.
            *arguments (object): Its arguments.

        Raises:
            UserError: Where it fails; with the last line of the log where there is one.
        """
        texts = [str(one) for one in arguments]
        name = f'{self.folder.name}/{tool}.py'
        command = [sys.executable, str(self.folder / f'{tool}.py'), *texts]
        shown = f'$ python {name} {" ".join(texts)}\n'
        options: dict[str, Any] = dict(
            env={**os.environ, **(self.environment or {})}, pass_fds=self.keep_open
        )
        if self.log is None:
            print(f'\n{shown}', end='', flush=True)
            status = subprocess.run(command, **options).returncode
            said = 'see above'
        else:
            with self.log.open('a') as stream:
                stream.write(shown)
                stream.flush()
                options.update(stdout=stream, stderr=subprocess.STDOUT)
                status = subprocess.run(command, **options).returncode
            lines = self.log.read_text(errors='replace').split('\n')
            last = next(line.strip() for line in reversed(lines) if line.strip())
            said = f'{last.removeprefix("error: ")} (its output is in {self.log})'
        if status:
            raise UserError(f'{name} failed (exit status {status}): {said}')


@dataclass
class Tested:
    """A detector that has been trained and tested.

    Args:
        mAP (float): VOC mAP on the test images, from 0 to 1.
        aps (dict[str, float]): AP by class; empty where the config's metric tells the mean alone,
            as mmdet's ``VOCMetric`` does.
        checkpoint (Path): Its weights.
        predictions (Path): Its predictions, as ``tools/test.py --out`` writes them.
    """

    mAP: float
    aps: dict[str, float]
    checkpoint: Path
    predictions: Path


def train_and_test(
    call: ToolCalls,
    config: Path,
    work_dir: Path,
    options: Sequence[str] = (),
    resume: bool = False,
) -> Tested:
    """Train a detector and test its last checkpoint.

    Args:
        call (ToolCalls): How the tools are called.
        config (Path): The config.
        work_dir (Path): Where the training goes; the test goes into ``test/`` there.
        options (Sequence[str]): What both are given as ``--cfg-options``. Defaults to none.
        resume (bool): Go on with the training that ``work_dir`` holds, if any. Defaults to False.

    Returns:
        Tested: What came of it.

    Raises:
        UserError: Where a tool fails, or the test reports no VOC mAP.
    """
    # Tested below, so not at the end of the training as well.
    changes = ['--cfg-options', *options, f'train_cfg.val_begin={sys.maxsize}']
    call('train', config, '--work-dir', work_dir, *['--resume'] * resume, *changes)
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    tested, predictions = work_dir / 'test', work_dir / 'predictions.pkl'
    changes = ['--cfg-options', *options] if options else []
    call('test', config, checkpoint, '--work-dir', tested, '--out', predictions, *changes)
    metrics = json.loads(max(tested.glob('*/*.json'), key=os.path.getmtime).read_text())
    if 'pascal_voc/mAP' not in metrics:
        raise UserError(
            f'the test of {config} reports {", ".join(metrics)}, expected pascal_voc/mAP: give it '
            "test_evaluator=dict(type='VOCDevkitMetric')"
        )
    prefix = 'pascal_voc/AP/'
    aps = {key.removeprefix(prefix): ap for key, ap in metrics.items() if key.startswith(prefix)}
    return Tested(metrics['pascal_voc/mAP'], aps, checkpoint, predictions)

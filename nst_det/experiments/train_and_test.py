"""One training and the test of its last checkpoint, by the tools."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nst_det.errors import UserError
from nst_det.evaluation import Results, read_results
from nst_det.experiments.tool_calls import ToolCalls


@dataclass
class Tested:
    """A detector that has been trained and tested.

    Args:
        results (Results): The results of the test.
        checkpoint (Path): The checkpoint that was tested.
        predictions (Path): The predictions on the test images, as ``tools/test.py --out`` writes
            them.
    """

    results: Results
    checkpoint: Path
    predictions: Path


def train_and_test(
    call: ToolCalls,
    config: Path,
    work_dir: Path,
    options: Sequence[str] = (),
    resume: bool = False,
    validate: bool = False,
) -> Tested:
    """Train a detector and test its last checkpoint.

    Args:
        call (ToolCalls): The calls of the tools.
        config (Path): The config.
        work_dir (Path): The folder of the training; the test writes into ``test/`` in it.
        options (Sequence[str]): The ``--cfg-options`` of both tools. Defaults to none.
        resume (bool): Resume the training in ``work_dir``, if there is one. Defaults to False.
        validate (bool): Validate during the training as the config says. Defaults to False: the
            test below makes a validation at the end of the training superfluous.

    Returns:
        Tested: The detector.

    Raises:
        UserError: If a tool fails, or the test reports no metric.
    """
    changes = [*options, *([] if validate else [f'train_cfg.val_begin={sys.maxsize}'])]
    resuming = ['--resume'] if resume else []
    call('train', config, '--work-dir', work_dir, *resuming, *_cfg_options(changes))
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    test_dir, predictions = work_dir / 'test', work_dir / 'predictions.pkl'
    written = ['--work-dir', test_dir, '--out', predictions]
    call('test', config, checkpoint, *written, *_cfg_options(options))
    results = read_results(max(test_dir.glob('*/*.json'), key=os.path.getmtime))
    if results.main is None:
        raise UserError(
            f'the test of {config} reports no metric: give it a test_evaluator, such as '
            "dict(type='VOCDevkitMetric'), with _delete_=True if it replaces one of its base"
        )
    return Tested(results, checkpoint, predictions)


def _cfg_options(changes: Sequence[str]) -> list[str]:
    return ['--cfg-options', *changes] if changes else []

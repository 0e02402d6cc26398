"""What a training and its test left in a work dir."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from nst_det.config.load import load_config
from nst_det.errors import UserError
from nst_det.fileio.find import find_work_dir
from nst_det.fileio.predictions import read_predictions

TEACHER, BASELINE, DISTILLED = 'teacher', 'baseline', 'distilled'


@dataclass
class Run:
    """A work dir.

    Args:
        name (str): What the report calls it.
        folder (Path): The work dir.
        config_file (Path): The config that mmengine left there.
        cfg (Config): The same, read.
        scalars (list[dict]): The training log: one dict of numbers per logged step.
        metrics (dict[str, float]): The newest test's JSON, or an empty dict.
        metrics_file (Path, optional): Where that is. Defaults to None.
        predictions (dict[str, dict]): Predictions by image id, or an empty dict.
        checkpoint (Path, optional): The last checkpoint. Defaults to None.
        role (str): ``'teacher'``, ``'baseline'`` or ``'distilled'``: see :func:`assign_roles`.
        lacks (list[str]): What could not be read, and what would bring it.
    """

    name: str
    folder: Path
    config_file: Path
    cfg: Config
    scalars: list[dict] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    metrics_file: Path | None = None
    predictions: dict[str, dict] = field(default_factory=dict)
    checkpoint: Path | None = None
    role: str = BASELINE
    lacks: list[str] = field(default_factory=list)

    @property
    def distilled(self) -> bool:
        """bool: Whether it was trained by a distiller."""
        return self.cfg.get('model', {}).get('type') == 'NSTDistiller'

    @property
    def score(self) -> float | None:
        """float, optional: The test's mAP, 0 to 1."""
        return next((v for k, v in self.metrics.items() if k.endswith('mAP')), None)

    @property
    def seed(self) -> int | None:
        """int, optional: The seed of the training."""
        return self.cfg.get('randomness', {}).get('seed')

    @property
    def batch_size(self) -> int | None:
        """int, optional: Images per iteration and process."""
        return (self.cfg.get('train_dataloader') or {}).get('batch_size')


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Read work dirs, the teacher first and the distilled last.

    Args:
        folders (Sequence[str or Path]): The work dirs.

    Returns:
        list[Run]: One per work dir, under names that differ.

    Raises:
        UserError: Where a folder is not there or holds no config.
    """
    runs = [read_run(Path(folder)) for folder in dict.fromkeys(Path(one) for one in folders)]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.name = f'{run.folder.absolute().parent.name}/{run.name}'
    assign_roles(runs)
    order = [TEACHER, BASELINE, DISTILLED]
    return sorted(runs, key=lambda run: order.index(run.role))


def read_run(folder: Path) -> Run:
    """Read one work dir; what is missing or damaged is noted in ``lacks``.

    Args:
        folder (Path): The work dir.

    Returns:
        Run: What it holds.

    Raises:
        UserError: Where it is not there or holds no config.
    """
    find_work_dir(folder)
    configs = sorted(folder.glob('*.py'), key=lambda file: file.stat().st_mtime)
    if not configs:
        raise UserError(
            f'{folder} holds no config, so it is no work dir of tools/train.py or tools/test.py: '
            'give the folder that --work-dir named'
        )
    name = folder.absolute().name
    run = Run(name, folder, configs[-1], load_config(str(configs[-1])))
    run.scalars = _read_scalars(run)
    _read_metrics(run)
    _read_predictions(run)
    note = folder / 'last_checkpoint'
    if note.is_file():
        noted = Path(note.read_text().strip())
        beside = folder / noted.name  # the folder may have been moved
        run.checkpoint = next((file for file in (beside, noted) if file.is_file()), None)
    if run.checkpoint is None:
        run.lacks.append('no checkpoint: the training has not got as far as its first')
    return run


def assign_roles(runs: Sequence[Run]) -> None:
    """Tell teacher, baseline and distilled runs apart.

    A run of a distiller is distilled; one that a distiller of the others takes its teacher's
    checkpoint from is the teacher, or else one whose folder is called so; the rest are baselines.

    Args:
        runs (Sequence[Run]): The runs; their ``role`` is set.
    """
    taught_by = {
        Path(str(run.cfg.model.get('teacher', {}).get('checkpoint', ''))).parent.name
        for run in runs
        if run.distilled
    }
    for run in runs:
        own = run.folder.absolute().name
        if run.distilled:
            run.role = DISTILLED
        elif own in taught_by or own == TEACHER:
            run.role = TEACHER
        else:
            run.role = BASELINE


def baseline_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """The baseline to compare a distilled run with: of the same seed if there is one.

    Args:
        run (Run): The distilled run.
        runs (Sequence[Run]): All runs.

    Returns:
        Run, optional: None where there is no baseline.
    """
    plain = [one for one in runs if one.role == BASELINE]
    return next((one for one in plain if one.seed == run.seed), plain[0] if plain else None)


def _read_scalars(run: Run) -> list[dict]:
    """The log of the training; of one that was resumed, each step as it was run last."""
    steps: dict[tuple, dict] = {}
    damaged = 0
    for file in sorted(run.folder.glob('*/vis_data/scalars.json')):
        for line in file.read_text(errors='replace').splitlines():
            try:
                entry = json.loads(line)
                key = ('loss' in entry, entry['step'])
            except (ValueError, KeyError, TypeError):
                damaged += 1
                continue
            steps[key] = {
                k: v
                for k, v in entry.items()
                if isinstance(v, (int, float)) and not isinstance(v, bool)
            }
    if not steps:
        run.lacks.append(
            'no training log: there is no vis_data/scalars.json, which the LocalVisBackend writes'
        )
    if damaged:
        run.lacks.append(f'{damaged} lines of the training log are damaged and were left out')
    return [steps[key] for key in sorted(steps)]


def _read_metrics(run: Run) -> None:
    """The newest JSON that a test left, in the work dir or in a folder ``test`` in it."""
    files = [file for file in run.folder.glob('**/*.json') if file.stem == file.parent.name]
    for file in sorted(files, key=lambda one: re.sub(r'\D', '', one.stem), reverse=True):
        try:
            metrics = json.loads(file.read_text())
        except ValueError:
            run.lacks.append(f'the test result {file} is damaged and was left out')
            continue
        run.metrics = {
            k: v for k, v in metrics.items() if isinstance(v, (int, float)) and math.isfinite(v)
        }
        run.metrics_file = file
        return
    validated = [entry for entry in run.scalars if any(name.endswith('mAP') for name in entry)]
    if validated:
        run.metrics = validated[-1]
        run.lacks.append('not tested: the mAP is that of the last validation; run tools/test.py')
    else:
        run.lacks.append('not tested: there is no mAP; run tools/test.py')


def _read_predictions(run: Run) -> None:
    files = sorted(run.folder.glob('**/*.pkl'), key=lambda file: file.stat().st_mtime)
    if not files:
        run.lacks.append(
            'no predictions, so no AP per class, curves or detections: test with '
            f'--out {run.folder}/predictions.pkl'
        )
        return
    try:
        run.predictions = read_predictions(files[-1])
    except UserError as error:
        run.lacks.append(str(error))

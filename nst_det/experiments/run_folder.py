"""The files that a training and its test left in a work dir."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from nst_det.config.detector import is_distiller, teacher_options
from nst_det.config.load import load_config
from nst_det.config.validators import is_number
from nst_det.errors import UserError
from nst_det.evaluation import Results
from nst_det.evaluation.results import read_values
from nst_det.fileio.find import find_work_dir
from nst_det.fileio.predictions import read_predictions

TEACHER, BASELINE, DISTILLED = 'teacher', 'baseline', 'distilled'


@dataclass
class Run:
    """A training with its test, read from a work dir.

    Args:
        name (str): Its name in the report.
        folder (Path): The work dir.
        config_file (Path): The config that mmengine wrote into it.
        cfg (Config): The content of that file.
        scalars (list[dict]): The training log: a dict of numbers per logged step.
        metrics (dict[str, float]): The JSON of the newest test, or an empty dict.
        metrics_file (Path, optional): That JSON file. Defaults to None.
        predictions (dict[str, dict]): The predictions by image id, or an empty dict.
        checkpoint (Path, optional): The checkpoint that was tested, else the last one. Defaults to
            None.
        role (str): ``'teacher'``, ``'baseline'`` or ``'distilled'``, see :func:`assign_roles`.
        missing (list[str]): What could not be read, and how to get it.
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
    missing: list[str] = field(default_factory=list)

    @property
    def distilled(self) -> bool:
        """bool: Whether it was trained by a distiller."""
        return is_distiller(self.cfg)

    @property
    def results(self) -> Results:
        """Results: The metrics, read."""
        return Results(self.metrics, self.cfg.get('test_evaluator'))

    @property
    def steps(self) -> list[dict]:
        """list[dict]: The entries of the log that are of training steps."""
        return [entry for entry in self.scalars if 'loss' in entry]

    @property
    def validations(self) -> list[dict]:
        """list[dict]: The entries of the log that are of validations."""
        return [entry for entry in self.scalars if 'loss' not in entry]

    @property
    def validation_step(self) -> str:
        """str: What the ``step`` of a validation counts: ``'epoch'`` or ``'iteration'``."""
        logger = (self.cfg.get('default_hooks') or {}).get('logger') or {}
        return 'epoch' if logger.get('log_metric_by_epoch', True) else 'iteration'

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
        list[Run]: The runs, with different names.

    Raises:
        UserError: If a folder does not exist or contains no config.
    """
    runs = [read_run(folder) for folder in dict.fromkeys(map(Path, folders))]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1 or re.fullmatch(r'seed\d+', run.name):
            run.name = f'{run.folder.absolute().parent.name}/{run.name}'
    assign_roles(runs)
    order = [TEACHER, BASELINE, DISTILLED]
    return sorted(runs, key=lambda run: order.index(run.role))


def read_run(folder: Path) -> Run:
    """Read a work dir, and list in ``missing`` what is missing or damaged.

    Args:
        folder (Path): The work dir.

    Returns:
        Run: The training and its test.

    Raises:
        UserError: If the folder does not exist or contains no config.
    """
    find_work_dir(str(folder))
    configs = sorted(folder.glob('*.py'), key=_modified)
    if not configs:
        raise UserError(
            f'{folder} contains no config, so it is no work dir of tools/train.py: give the folder '
            'that was its --work-dir'
        )
    name = folder.absolute().name
    run = Run(name, folder, configs[-1], load_config(str(configs[-1])))
    run.scalars = _read_scalars(run)
    _read_metrics(run)
    _read_predictions(run)
    _find_checkpoint(run)
    return run


def assign_roles(runs: Sequence[Run]) -> None:
    """Set the role of each run.

    A run of a distiller is distilled. A run is the teacher if a distilled run has its teacher
    checkpoint from its folder, or if its folder is called ``teacher``. The others are baselines.

    Args:
        runs (Sequence[Run]): The runs.
    """
    teacher_folders = {
        Path(str(teacher.get('checkpoint') or '')).parent.name
        for run in runs
        if run.distilled
        for teacher in teacher_options(run.cfg.model)
    }
    for run in runs:
        folder_name = run.folder.absolute().name
        if run.distilled:
            run.role = DISTILLED
        elif folder_name in teacher_folders or folder_name == TEACHER:
            run.role = TEACHER
        else:
            run.role = BASELINE


def baseline_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """Find the baseline that a distilled run is compared with: that of the same seed, if any.

    Args:
        run (Run): The distilled run.
        runs (Sequence[Run]): All runs.

    Returns:
        Run, optional: The baseline; None if there is none.
    """
    baselines = [plain for plain in runs if plain.role == BASELINE]
    same_seed = [baseline for baseline in baselines if baseline.seed == run.seed]
    return next(iter(same_seed + baselines), None)


def _read_scalars(run: Run) -> list[dict]:
    """Read the training log; a step that a resumed training ran again counts once, the last."""
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
            steps[key] = {name: value for name, value in entry.items() if is_number(value)}
    if not steps:
        run.missing.append(
            'no training log: there is no vis_data/scalars.json, which the LocalVisBackend writes'
        )
    if damaged:
        run.missing.append(f'{damaged} damaged lines of the training log were left out')
    return [steps[key] for key in sorted(steps)]


def _read_metrics(run: Run) -> None:
    """Read the newest JSON of a test, in the work dir or in a folder in it such as ``test``."""
    files = [file for file in run.folder.glob('**/*.json') if file.stem == file.parent.name]
    for file in sorted(files, key=lambda file: re.sub(r'\D', '', file.stem), reverse=True):
        try:
            run.metrics = read_values(file)
        except UserError:
            run.missing.append(f'the damaged test result {file} was left out')
            continue
        run.metrics_file = file
        return
    validated = [entry for entry in run.validations if Results(entry).main is not None]
    if validated:
        run.metrics = validated[-1]
        run.missing.append(
            'not tested: the results are those of the last validation; run tools/test.py'
        )
    else:
        run.missing.append('not tested: there are no results; run tools/test.py')


def _read_predictions(run: Run) -> None:
    files = sorted(run.folder.glob('**/*.pkl'), key=_modified)
    if not files:
        run.missing.append(
            'no predictions, so no precision–recall curves and no detections: test with '
            f'--out {run.folder}/predictions.pkl'
        )
        return
    try:
        run.predictions = read_predictions(files[-1])
    except UserError as error:
        run.missing.append(str(error))


def _find_checkpoint(run: Run) -> None:
    """Find the checkpoint that was tested, else the last one."""
    tested, note = _tested_checkpoint(run), run.folder / 'last_checkpoint'
    last = Path(note.read_text().strip()) if note.is_file() else None
    named = [path for path in (tested, last) if path is not None]
    # In the work dir first, because it may have been moved.
    files = [file for path in named for file in (run.folder / path.name, path) if file.is_file()]
    run.checkpoint = next(iter(files), None)
    if run.checkpoint is None:
        run.missing.append('no checkpoint: the training has not written its first one yet')
    elif tested is not None and run.checkpoint.name != tested.name:
        run.missing.append(
            f'the checkpoint that was tested, {tested}, does not exist: the figures are of '
            f'{run.checkpoint}'
        )


def _tested_checkpoint(run: Run) -> Path | None:
    """The checkpoint of the newest test: ``load_from`` in the config that the test wrote."""
    if run.metrics_file is None:
        return None
    log_dir = run.metrics_file.parent
    configs = sorted(log_dir.parent.glob('*.py'), key=_modified, reverse=True)
    for file in (log_dir / 'vis_data' / 'config.py', *configs):
        if file.is_file():
            load_from = load_config(str(file)).get('load_from') or ''
            return Path(load_from) if load_from and '://' not in load_from else None
    return None


def _modified(file: Path) -> float:
    return file.stat().st_mtime

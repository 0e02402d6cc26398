"""The trainings of a table: the teacher first, then every row with every seed."""

import fcntl
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from nst_det.config.detector import is_distiller, teacher_options
from nst_det.errors import UserError, nearest
from nst_det.experiments.executor import Executor
from nst_det.experiments.paper import paper_rows
from nst_det.experiments.protocol import shared_protocol
from nst_det.experiments.read_rows import config_name
from nst_det.experiments.results_table import ResultsTable, Row
from nst_det.experiments.run_trials import run_trials
from nst_det.experiments.table_figure import draw_table
from nst_det.experiments.trial import Trial
from nst_det.fileio.atomic import write_atomically

TEACHER = 'teacher'  # the folder of its training


class TableRun:
    """A table whose rows are trained and tested in a work dir.

    Args:
        configs (Mapping[str, Config]): The config of each row by its name, which is its folder too.
            ``method`` in a config is its name in the table, else the name of the row.
        seeds (Sequence[int]): The seeds of every row.
        work_dir (Path): The folder of all trainings and of the table.
        tools (Path): The folder of ``train.py`` and ``test.py``.
        teacher (Config, optional): The config of the teacher of all distilled rows, which is
            trained first. Defaults to None: each row needs the checkpoint that its config names.
        baseline (str, optional): The name of the row that the others are compared with. Defaults to
            None: the first row.
        paper (bool): Show the values of the paper beside ours. Defaults to False.
        metrics (Sequence[str]): The keys of the metrics to show, see :class:`ResultsTable`.
            Defaults to none.
        validate (bool): Validate during the trainings as the configs say. Defaults to False: the
            test at the end makes it superfluous.

    Raises:
        UserError: If two rows have the same name, the baseline is not the name of a row, the rows
            and the teacher are tested differently, or the paper tests differently.
    """

    def __init__(
        self,
        configs: Mapping[str, Config],
        seeds: Sequence[int],
        work_dir: Path,
        tools: Path,
        teacher: Config | None = None,
        baseline: str | None = None,
        paper: bool = False,
        metrics: Sequence[str] = (),
        validate: bool = False,
    ) -> None:
        self.configs, self.seeds, self.metrics = configs, seeds, metrics
        self.validate = validate
        self.work_dir, self.tools = work_dir, tools
        self.methods = {name: cfg.get('method', name) for name, cfg in configs.items()}
        self.baseline = self.methods[self._find_baseline(baseline)]
        self.teacher = teacher and self._teacher_trial(teacher)
        names = [*self.methods.values(), *([self.teacher.method] if self.teacher else [])]
        if len(set(names)) < len(names):
            raise UserError(f'two rows have the same method: {", ".join(names)}')
        protocol = shared_protocol({**configs, **({TEACHER: teacher} if teacher else {})})
        self.protocol = protocol.protocol
        self.paper = paper_rows(protocol) if paper else {}
        self.rows = {method: Row(method) for method in self.methods.values()}

    def run(self, executor: Executor | None = None) -> ResultsTable:
        """Train and test what is not finished yet, and write the table after each result.

        Args:
            executor (Executor, optional): What runs the trials. Defaults to None: this machine, one
                process at a time.

        Returns:
            ResultsTable: The table of all rows.

        Raises:
            UserError: If a training or test fails, a row on disk has another config, a teacher has
                no checkpoint, or another process uses the work dir.
        """
        with _lock(self.work_dir) as held:
            checkpoint = None
            if self.teacher:
                self.rows[self.teacher.method] = Row(self.teacher.method, competes=False)
                self._finish([self.teacher], executor, held)
                checkpoint = self.teacher.result().checkpoint
            self._finish(self.trials(checkpoint), executor, held)
            return self._write_table()

    def trials(self, checkpoint: str | None = None) -> list[Trial]:
        """List the trials of the rows, those of a seed together.

        Args:
            checkpoint (str, optional): The checkpoint of the teacher that was trained for the
                table. Defaults to None: each row has its own.

        Returns:
            list[Trial]: The trials, in the order in which they are run.

        Raises:
            UserError: If a teacher has no checkpoint.
        """
        for name, cfg in self.configs.items():
            self._name_teacher(name, cfg, checkpoint)
        return [
            Trial(self.methods[name], cfg, seed, self.work_dir / name, self.tools, self.validate)
            for seed in self.seeds  # outermost, so that an incomplete table has equal seeds
            for name, cfg in self.configs.items()
        ]

    def _find_baseline(self, given: str | None) -> str:
        name = next(iter(self.configs)) if given is None else config_name(given)
        if name not in self.configs:
            raise UserError(
                f'--baseline {given} is none of the rows: {nearest(name, self.configs)}'
            )
        return name

    def _teacher_trial(self, cfg: Config) -> Trial:
        if TEACHER in self.configs:
            raise UserError(f"a row is called '{TEACHER}', which is the folder of --teacher")
        seed = cfg.get('randomness', {}).get('seed') or 0
        method = cfg.get('method', 'Teacher')
        return Trial(method, cfg, seed, self.work_dir / TEACHER, self.tools)

    def _finish(self, trials: Sequence[Trial], executor: Executor | None, held: int) -> None:
        """Collect the results on disk, and run the trials that have none."""
        missing = []
        for trial in trials:
            trial.check()
            result = trial.result()
            if result is None:
                missing.append(trial)
            else:
                self.rows[trial.method].results[trial.seed] = result
        if len(missing) < len(trials):
            print(f'{len(trials) - len(missing)} of {len(trials)} are finished already')
        failures = []
        for trial, outcome in run_trials(missing, executor, [held]):
            if isinstance(outcome, UserError):
                failures.append(f'{trial.name}: {outcome}')
            else:
                self.rows[trial.method].results[trial.seed] = outcome
                self._write_table()
        if failures:
            raise UserError(f'{len(failures)} of {len(trials)} failed, {failures[0]}')

    def _name_teacher(self, name: str, cfg: Config, checkpoint: str | None) -> None:
        """Write into the config of a row which teacher it has, with the hash of its weights.

        With another teacher the row is another row.
        """
        if not is_distiller(cfg.model):
            return
        teachers = teacher_options(cfg.model)
        if checkpoint:
            if len(teachers) > 1:
                raise UserError(
                    f'{name} has {len(teachers)} teachers, and --teacher names one: leave the row '
                    'out, or train its teachers first and leave --teacher out'
                )
            path = str(Path(self.teacher.cfg.filename).resolve())
            teachers[0].update(config=path, checkpoint=checkpoint)
        hashes = [_file_hash(name, teacher.get('checkpoint')) for teacher in teachers]
        if any(hashes):
            cfg.teacher_sha256 = ', '.join(filter(None, hashes))

    def _write_table(self) -> ResultsTable:
        table = ResultsTable(
            list(self.rows.values()), self.baseline, self.paper, self.protocol, self.metrics
        )
        write_atomically(self.work_dir / 'table.md', table.markdown().encode())
        write_atomically(self.work_dir / 'table.csv', table.csv().encode())
        draw_table(table, self.work_dir / 'table.png')
        return table


def _file_hash(row: str, checkpoint: str | None) -> str | None:
    """The SHA-256 of a teacher's checkpoint; None if its weights are in no file here."""
    if checkpoint is None or '://' in checkpoint or checkpoint == 'random':
        return None
    file = Path(checkpoint).expanduser()
    if not file.is_file():
        raise UserError(
            f'{row} needs the checkpoint of its teacher, and there is no file {file}: train '
            'the teacher, or name its config as --teacher'
        )
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """Reserve a folder for this process and for its trainings, which inherit the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / '.lock').open('w') as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f'another process, or a training that it started, uses {folder}: wait until it '
                'ends, or choose another --work-dir'
            ) from None
        yield stream.fileno()

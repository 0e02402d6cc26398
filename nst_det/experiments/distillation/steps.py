"""From the configs of a student and of its teacher to a tested student and a report, in steps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nst_det.apis.add_nst import Addition, Pair, add_nst, choose_layers
from nst_det.apis.config_styles import place
from nst_det.config.load import load_config
from nst_det.config.settings import change
from nst_det.engine.runner.resume import last_checkpoint
from nst_det.errors import UserError
from nst_det.experiments.read_rows import config_name, prepare_row
from nst_det.experiments.report import check_packages, read_runs, write_report
from nst_det.experiments.results_table import ResultsTable
from nst_det.experiments.run_table import TableRun
from nst_det.experiments.trial import Trial
from nst_det.fileio.atomic import write_atomically


@dataclass(frozen=True)
class Distillation:
    """The steps of a distillation, of which a second call repeats none that is finished.

    They are: a config with NST, the training and test of each seed, and the report. All is written
    into the work dir: ``<student>_nst.py``, the folders of the trainings, ``table.md`` and
    ``report.html``. ``options.json`` keeps what the config was made with.

    Args:
        addition (Addition): The student, the teacher and the loss.
        pairs (Sequence[Pair]): The layers; none if they are to be chosen.
        batches (int): How many batches of the training data to try the layers on.
        changes (Sequence[str]): Changes to the configs of all trainings, see
            :func:`nst_det.config.settings.change`.
        seeds (Sequence[int]): The seeds to train with.
        baseline (bool): Train the student without a teacher as well, to compare with.
        work_dir (Path): The folder for all of it.
        tools (Path): The folder of ``train.py`` and ``test.py``.
    """

    addition: Addition
    pairs: Sequence[Pair]
    batches: int
    changes: Sequence[str]
    seeds: Sequence[int]
    baseline: bool
    work_dir: Path
    tools: Path

    @property
    def config(self) -> Path:
        """Path: The config with NST."""
        return self.work_dir / f'{config_name(self.addition.student)}_nst.py'

    @property
    def report(self) -> Path:
        """Path: The report."""
        return self.work_dir / 'report.html'

    def run(self) -> ResultsTable:
        """Take all steps that are not finished, and print what is done.

        Returns:
            ResultsTable: The results.

        Raises:
            UserError: If something does not fit, an option differs from that of an earlier call, or
                a step fails.
        """
        check_packages()
        self._check_options()
        _print(f'1. NST for {self.addition.student}')
        if self.config.exists():
            _print(f'finished already: {self.config}')
        else:
            options = json.dumps(self._options(), indent=1)
            write_atomically(self._options_file, f'{options}\n'.encode())
            add_nst(self.addition, str(self.config), self.pairs, _print, self.batches, self.changes)
            torch.cuda.empty_cache()  # the trainings run in processes of their own
        run = self._table_run()
        trials = run.trials()
        _print(f'2. Training and test with {_seeds(self.seeds)}')
        for trial in trials:
            if trial.result() is None:
                _print(f'{trial.name}: output in {trial.log}')
        table = run.run()
        _print('3. The report')
        if self._has_report_on(trials):
            _print(f'finished already: {self.report}')
        else:
            folders = [*self._teacher_folders(), *(trial.work_dir for trial in trials)]
            title = f'{config_name(self.addition.student)}, taught by NST'
            write_report(read_runs(folders), self.report, title, lambda step: _print(f'{step} …'))
        return table

    def show(self) -> None:
        """Check what can be checked, and print what :meth:`run` would do.

        Raises:
            UserError: If something does not fit, or an option differs from that of an earlier call.
        """
        check_packages()
        self._check_options()
        written = self.config.exists()
        _print(f'1. NST for {self.addition.student}')
        if not written:
            change(load_config(self.addition.student), self.changes)
            choose_layers(self.addition, self.pairs, _print)
            if self.batches:
                _print(f'to do: try the layers on {self.batches} batches of the training data')
        _print(f'{"finished" if written else "to do: write"} {self.config}')
        trials = self._table_run().trials() if written else []
        _print(f'2. Training and test with {_seeds(self.seeds)}')
        for trial in trials:
            trial.check()
            _print(f'{trial.name}: {_state(trial)}')
        if not written:
            names = [self.config.stem] if not self.baseline else [self._student, self.config.stem]
            for name in names:
                _print(f'{name}: to do, into {self.work_dir / name}')
        _print('3. The report')
        finished = written and self._has_report_on(trials)
        _print(f'{"finished" if finished else "to do: write"} {self.report}')

    def checkpoints(self) -> list[str]:
        """List the checkpoints of the students that were taught, one for each seed.

        Returns:
            list[str]: The paths; empty before :meth:`run`.
        """
        results = [
            trial.result()
            for trial in self._table_run().trials()
            if trial.folder.name == self.config.stem
        ]
        return [result.checkpoint for result in results if result is not None]

    @property
    def _student(self) -> str:
        return config_name(self.addition.student)

    @property
    def _options_file(self) -> Path:
        return self.work_dir / 'options.json'

    def _options(self) -> dict[str, object]:
        """What the config is made with, by the names of the options."""
        addition = self.addition
        return {
            'STUDENT': place(addition.student, self.work_dir, ''),
            '--teacher': place(addition.teacher, self.work_dir, ''),
            '--teacher-checkpoint': place(addition.checkpoint, self.work_dir, ''),
            '--teacher-prefix': addition.prefix,
            '--layers': [list(pair) for pair in self.pairs],
            '--kernel': addition.kernel,
            '--weight': addition.loss_weight,
        }

    def _check_options(self) -> None:
        """Check that an earlier call in the work dir had the same options.

        The configs of the trainings are compared as well, by :meth:`Trial.check`.
        """
        others = [file for file in self.work_dir.glob('*_nst.py') if file != self.config]
        if others:
            raise UserError(
                f'{self.work_dir} is that of another student ({others[0].name}): choose another '
                '--work-dir'
            )
        if not self.config.exists():
            return
        try:
            before = dict(json.loads(self._options_file.read_text()))
        except (OSError, ValueError, TypeError):
            raise UserError(
                f'{self.config} exists, and {self._options_file}, which tells how it was made, '
                'cannot be read: choose another --work-dir'
            ) from None
        for option, value in self._options().items():
            if before.get(option) != value:
                raise UserError(
                    f'{self.config} was made with {option} {_text(before.get(option))}, and now it '
                    f'is {_text(value)}: choose another --work-dir, or give the former value'
                )

    def _table_run(self) -> TableRun:
        rows = {self.config.stem: load_config(str(self.config))}
        if self.baseline:
            rows = {self._student: load_config(self.addition.student), **rows}
        for name, cfg in rows.items():
            prepare_row(name, cfg, self.changes)
        return TableRun(rows, self.seeds, self.work_dir, self.tools, validate=True)

    def _has_report_on(self, trials: Sequence[Trial]) -> bool:
        """Tell whether there is a report that is newer than all results."""
        results = [trial.result_file for trial in trials]
        if not all(file.exists() for file in [self.report, *results]):
            return False
        written = self.report.stat().st_mtime_ns
        return all(file.stat().st_mtime_ns <= written for file in results)

    def _teacher_folders(self) -> list[Path]:
        """The work dir of the teacher's training, if its checkpoint is in one."""
        folder = Path(self.addition.checkpoint).expanduser().parent
        return [folder] if last_checkpoint(folder) and any(folder.glob('*.py')) else []


def _state(trial: Trial) -> str:
    result = trial.result()
    if result is not None:
        return f'finished, {result.results.text}'
    if trial.begun:
        return f'to be resumed from {last_checkpoint(trial.work_dir) or trial.work_dir}'
    return f'to do, into {trial.work_dir}'


def _seeds(seeds: Sequence[int]) -> str:
    return f'seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}'


def _text(value: object) -> str:
    return 'not given' if value in (None, []) else str(value)


def _print(line: str) -> None:
    print(line, flush=True)

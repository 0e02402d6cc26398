"""Runs stages one after another, and writes what each finds as soon as it is found."""

import json
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from terminaltables import GithubFlavoredMarkdownTable

OK = 'ok'  # the key of a row that checks something: whether the check holds


@dataclass(frozen=True)
class Setup:
    """Where and at which scale the stages run.

    Args:
        device (str): ``'cuda'`` or ``'cpu'``.
        small (bool): Whether sizes are reduced to what a CPU does in seconds.
        results (Path): The folder of the JSON and the Markdown file.
        work_dir (Path): The folder of drawn data and trainings.
        turns (int): How often each thing is timed.
        mmrazor (Path, optional): A checkout of mmrazor's repository. Defaults to None.
        photographs (Path, optional): A VOC devkit of photographs. Defaults to None.
        minutes (float): The longest time of the table on photographs. Defaults to 5.
    """

    device: str
    small: bool
    results: Path
    work_dir: Path
    turns: int
    mmrazor: Path | None = None
    photographs: Path | None = None
    minutes: float = 5.0

    @property
    def has_gpu(self) -> bool:
        """bool: Whether the device is a GPU."""
        return self.device == 'cuda'


Stage = Callable[[Setup], Iterator[dict]]


class Report:
    """The results of the stages, as one JSON file and one Markdown file.

    Args:
        setup (Setup): The setup of the stages.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.started = time.monotonic()
        self.machine = describe_machine(setup.device)
        self.stages: dict[str, dict] = {}
        setup.results.mkdir(parents=True, exist_ok=True)
        print(', '.join(f'{key} {value}' for key, value in self.machine.items()), flush=True)

    def run(self, name: str, stage: Stage) -> None:
        """Run a stage. If it fails, its traceback is a result, and the next stage can run.

        Args:
            name (str): The name of the stage.
            stage (Callable): Takes the setup and yields rows; a row with ``ok=False`` is a check
                that does not hold.
        """
        started = time.monotonic()
        result = self.stages[name] = dict(seconds=0.0, rows=[], error=None)
        print(f'\n== {name} (after {started - self.started:.0f} s)', flush=True)
        try:
            for row in stage(self.setup):
                result['rows'].append(row)
                print('  ' + _line(row), flush=True)
                self._save(name, started)
        except Exception:  # whatever it is, it is a result
            result['error'] = traceback.format_exc()
            print(result['error'], flush=True)
        self._save(name, started)
        if self.setup.has_gpu:
            torch.cuda.empty_cache()

    @property
    def faults(self) -> list[str]:
        """list[str]: The stages that failed, and the checks that do not hold."""
        found = []
        for name, result in self.stages.items():
            if result['error']:
                found.append(f'{name}: {result["error"].strip().splitlines()[-1]}')
            found += [f'{name}: {_line(row)}' for row in result['rows'] if row.get(OK) is False]
        return found

    def markdown(self) -> str:
        """Write all results as Markdown, one table per stage."""
        parts = ['\n'.join(f'- {key}: {value}' for key, value in self.machine.items())]
        for name, result in self.stages.items():
            parts.append(f'## {name} ({result["seconds"]:.0f} s)')
            if result['rows']:
                parts.append(_table(result['rows']))
            if result['error']:
                parts.append(f'```\n{result["error"].strip()}\n```')
        faults = self.faults
        parts.append('## Faults\n\n' + ('\n'.join(f'- {fault}' for fault in faults) or 'none'))
        return '\n\n'.join(parts) + '\n'

    def _save(self, name: str, started: float) -> None:
        self.stages[name]['seconds'] = round(time.monotonic() - started, 1)
        content = dict(machine=self.machine, stages=self.stages, faults=self.faults)
        (self.setup.results / 'on_gpu.json').write_text(json.dumps(content, indent=1))
        (self.setup.results / 'on_gpu.md').write_text(self.markdown())


def describe_machine(device: str) -> dict[str, str]:
    """Name the device, and the versions that its figures depend on."""
    machine = dict(
        device=platform.processor() or platform.machine(),
        python=platform.python_version(),
        torch=torch.__version__,
        threads=str(torch.get_num_threads()),
    )
    if device == 'cuda':
        machine['device'] = torch.cuda.get_device_name()
        machine['cuda'] = str(torch.version.cuda)
        machine['cudnn'] = str(torch.backends.cudnn.version())
    return machine


def _line(row: dict) -> str:
    first, *others = row.items()
    return f'{first[1]}: ' + ', '.join(f'{key} {_cell(value)}' for key, value in others)


def _table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    return GithubFlavoredMarkdownTable([columns, *cells]).table


def _cell(value: object) -> str:
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'yes' if value else 'NO'
    if isinstance(value, float):
        return f'{value:.4g}'
    return str(value).replace('|', '/').replace('\n', ' ')

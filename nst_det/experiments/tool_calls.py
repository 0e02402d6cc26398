"""Calls of the command-line tools, each in its own process, as a user would call them."""

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
    """Calls of the tools in a folder.

    Args:
        folder (Path): The folder of ``train.py`` and ``test.py``.
        log (Path, optional): The file to which their output is appended. Defaults to None: they
            write to the output of this process.
        environment (Mapping[str, str], optional): Environment variables to set. Defaults to None.
        keep_open (Sequence[int]): File descriptors of this process that they inherit. Defaults to
            none.
    """

    folder: Path
    log: Path | None = None
    environment: Mapping[str, str] | None = None
    keep_open: Sequence[int] = ()

    def __call__(self, tool: str, *arguments: object) -> None:
        """Write the command of a tool, run it, and wait until it ends.

        Args:
            tool (str): The name of the tool, such as ``'train'``.
            *arguments (object): The arguments.

        Raises:
            UserError: If the tool fails. The message ends with the last line of the log, if there
                is a log.
        """
        texts = [str(argument) for argument in arguments]
        name = f'{self.folder.name}/{tool}.py'
        command = [sys.executable, str(self.folder / f'{tool}.py'), *texts]
        shown = f'$ python {name} {" ".join(texts)}\n'
        options: dict[str, Any] = dict(
            env={**os.environ, **(self.environment or {})}, pass_fds=self.keep_open
        )
        if self.log is None:
            print(f'\n{shown}', end='', flush=True)
            status = subprocess.run(command, **options).returncode
            reason = 'see above'
        else:
            with self.log.open('a') as stream:
                stream.write(shown)
                stream.flush()
                options.update(stdout=stream, stderr=subprocess.STDOUT)
                status = subprocess.run(command, **options).returncode
            reason = f'{_last_line(self.log)} (its output is in {self.log})'
        if status:
            raise UserError(f'{name} failed (exit status {status}): {reason}')


def _last_line(log: Path) -> str:
    lines = log.read_text(errors='replace').split('\n')
    last = next(line.strip() for line in reversed(lines) if line.strip())
    return last.removeprefix('error: ')

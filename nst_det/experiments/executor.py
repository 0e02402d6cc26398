"""What runs trials, and a trial as a job for another machine."""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nst_det.errors import UserError
from nst_det.experiments.trial import Result, Trial

MANY = 64  # jobs at a time, where a cluster has its own queue


class Executor(Protocol):
    """What runs trials.

    Attributes:
        workers (int): How many trials it takes at a time.
    """

    workers: int

    def run(self, trial: Trial, keep_open: Sequence[int] = ()) -> Result:
        """Run a trial, and wait until it ends.

        Args:
            trial (Trial): The trial.
            keep_open (Sequence[int]): File descriptors that its processes inherit if they run on
                this machine. Defaults to none.

        Returns:
            Result: Its result.

        Raises:
            UserError: If it fails.
        """

    def cancel(self) -> None:
        """End what is running elsewhere."""


@dataclass
class Job:
    """A trial that another machine runs, in a folder that it must see under the same path.

    Where the machine or its process is lost, the job is run again, and the training goes on from
    its last checkpoint. If the lost process has left a training that still runs, the job waits for
    its end.

    Args:
        trial (Trial): The trial.
        folder (Path): The folder in which the tools run. Defaults to the current one.
    """

    trial: Trial
    folder: Path = field(default_factory=Path.cwd)

    def __call__(self) -> Result | str:
        """Run the trial.

        Returns:
            Result | str: The result; or the message of an error that a user can correct, because
            not every cluster carries exceptions.
        """
        os.chdir(self.folder)
        self.trial.folder.mkdir(parents=True, exist_ok=True)
        with self.trial.work_dir.with_suffix('.lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the training inherits it
            try:
                return self.trial.run(keep_open=[lock.fileno()])
            except UserError as error:
                return str(error)


def result_of(outcome: Result | str) -> Result:
    """Read what a job returned.

    Args:
        outcome (Result | str): The result or a message.

    Returns:
        Result: The result.

    Raises:
        UserError: If it is a message.
    """
    if isinstance(outcome, str):
        raise UserError(outcome)
    return outcome

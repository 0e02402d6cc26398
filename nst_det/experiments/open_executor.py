"""The executors by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_det.errors import UserError
from nst_det.experiments.executor import Executor
from nst_det.experiments.ray_cluster import RayCluster
from nst_det.experiments.slurm_jobs import SlurmJobs
from nst_det.experiments.this_machine import ThisMachine


def open_executor(
    name: str,
    work_dir: Path,
    gpus: Sequence[str] = (),
    jobs: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Executor:
    """Open an executor.

    Args:
        name (str): ``'local'``, ``'ray'`` or ``'slurm'``.
        work_dir (Path): The folder of the trials.
        gpus (Sequence[str]): For ``'local'``, see :class:`ThisMachine`. Defaults to none.
        jobs (int, optional): For the others, how many trials to hand over at a time. Defaults to
            None: 64.
        options (Mapping[str, Any], optional): For the others, see there. Defaults to None.

    Returns:
        Executor: The executor.

    Raises:
        UserError: If it cannot be opened, or it does not take an option.
    """
    if name == 'local':
        for option, value in [('--jobs', jobs), ('--executor-options', options)]:
            if value not in (None, {}):
                raise UserError(f'{option} is for --executor ray or slurm: name one, or leave it')
        return ThisMachine(gpus)
    if gpus:
        raise UserError(
            f'--gpus is for this machine: --executor {name} chooses GPUs itself, see '
            '--executor-options'
        )
    if jobs is not None and jobs < 1:
        raise UserError(f'--jobs is {jobs}, expected at least 1')
    if name == 'ray':
        return RayCluster(jobs, options)
    return SlurmJobs(work_dir / 'slurm', jobs, options)

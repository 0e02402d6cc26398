"""Trials as jobs of Slurm, by submitit."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_det.errors import UserError, one_line
from nst_det.experiments.executor import MANY, Job, result_of
from nst_det.experiments.trial import Result, Trial

RESOURCES = dict(gpus_per_node=1, cpus_per_task=4, timeout_min=24 * 60)


class SlurmJobs:
    """Runs trials as jobs of Slurm.

    A job that Slurm preempts, or that reaches its time limit, is queued again, and goes on from its
    last checkpoint. The machines must see the work dir, the data and the package under the same
    paths.

    Args:
        folder (Path): The folder for what submitit writes: scripts and outputs of the jobs.
        workers (int, optional): How many jobs may be queued at a time. Defaults to None: 64.
        options (Mapping[str, Any]): Parameters of submitit, such as ``slurm_partition='gpu'``.
            Defaults to none: one GPU, four CPUs and a day for each job. ``cluster='local'`` runs
            the jobs on this machine without Slurm.

    Attributes:
        workers (int): See above.

    Raises:
        UserError: If submitit is not installed, there is no Slurm, or an option is not valid.
    """

    def __init__(
        self,
        folder: Path,
        workers: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        submitit = _import_submitit()
        self.workers = workers or MANY
        options = {**RESOURCES, **(options or {})}
        cluster = options.pop('cluster', 'slurm')
        if cluster == 'slurm' and not shutil.which('sbatch'):
            raise UserError(
                '--executor slurm finds no sbatch: run it where jobs of Slurm can be submitted'
            )
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster)
            self._executor.update_parameters(**options)
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise UserError(f'--executor-options: {one_line(error, with_type=False)}') from error
        self._failures = (
            submitit.core.utils.FailedJobError,
            submitit.core.utils.UncompletedJobError,
        )
        self._running: set[Any] = set()

    def run(self, trial: Trial, keep_open: Sequence[int] = ()) -> Result:
        """Submit a trial, and wait until it ends, see :class:`Executor`."""
        job = self._executor.submit(_RequeuedJob(trial))
        self._running.add(job)
        try:
            return result_of(job.result())
        except self._failures as error:
            raise UserError(
                f'job {job.job_id} ended without a result: {job.paths.stderr} has its output'
            ) from error
        finally:
            self._running.discard(job)

    def cancel(self) -> None:
        """Cancel the jobs that run or wait."""
        for job in list(self._running):
            job.cancel()


class _RequeuedJob(Job):
    """A job that submitit submits again before Slurm takes its machine away."""

    def checkpoint(self) -> Any:
        return _import_submitit().helpers.DelayedSubmission(self)


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError("--executor slurm needs submitit: pip install 'nst_det[slurm]'") from error
    return submitit

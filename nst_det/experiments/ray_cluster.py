"""Trials as tasks of a Ray cluster."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nst_det.errors import UserError, one_line
from nst_det.experiments.executor import MANY, Job, result_of
from nst_det.experiments.trial import Result, Trial

RETRIES = 3  # of a trial whose worker or machine was lost


class RayCluster:
    """Runs trials on a Ray cluster: the one that is there, or one that it starts on this machine.

    Its machines must see the work dir, the data and the package under the same paths. A trial takes
    one CPU, and one GPU if the cluster has any.

    Args:
        workers (int, optional): How many trials to hand over at a time. Defaults to None: 64; Ray
            queues those for which it has no room.
        options (Mapping[str, Any]): ``address`` of the cluster, for ``ray.init``; and options of a
            Ray task, such as ``num_gpus=0.5`` or ``num_cpus=4``. Defaults to none.

    Attributes:
        workers (int): See above.

    Raises:
        UserError: If Ray is not installed, there is no such cluster, or an option is not valid.
    """

    def __init__(
        self, workers: int | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self._ray = _import_ray()
        self.workers = workers or MANY
        options = dict(options or {})
        address = options.pop('address', None)
        # Else a task without a GPU would see none, whatever the machine has.
        os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')
        if not self._ray.is_initialized():
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level='warning')
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                place = 'on this machine' if address is None else f'at {address}'
                raise UserError(
                    f'--executor ray finds or starts no cluster {place}: {one_line(error):.200}'
                ) from error
        has_gpus = self._ray.cluster_resources().get('GPU', 0) > 0
        resources = dict(num_cpus=1, num_gpus=int(has_gpus), max_retries=RETRIES)
        try:
            self._task = self._ray.remote(_run).options(**{**resources, **options})
        except (TypeError, ValueError) as error:
            raise UserError(f'--executor-options: {one_line(error, with_type=False)}') from error
        self._running: set[Any] = set()

    def run(self, trial: Trial, keep_open: Sequence[int] = ()) -> Result:
        """Run a trial somewhere in the cluster, see :class:`Executor`."""
        task = self._task.remote(Job(trial))
        self._running.add(task)
        try:
            return result_of(self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f'Ray lost it: {one_line(error):.200} (its output is in {trial.log})'
            ) from error
        finally:
            self._running.discard(task)

    def cancel(self) -> None:
        """End the tasks that run or wait."""
        for task in list(self._running):
            self._ray.cancel(task, force=True)


def _run(job: Job) -> Result | str:
    return job()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray needs Ray: pip install 'nst_det[ray]'") from error
    return ray

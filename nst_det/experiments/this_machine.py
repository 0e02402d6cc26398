"""Trials on this machine: one process at a time, or several side by side on its GPUs."""

from collections.abc import Sequence
from queue import SimpleQueue

from nst_det.experiments.trial import Result, Trial


class ThisMachine:
    """Runs trials as processes of this machine.

    Args:
        gpus (Sequence[str]): A value of ``CUDA_VISIBLE_DEVICES`` for each process that may run at
            the same time. Defaults to none: one process at a time, in the unchanged environment.

    Attributes:
        workers (int): How many trials it takes at a time.
    """

    def __init__(self, gpus: Sequence[str] = ()) -> None:
        self.workers = max(1, len(gpus))
        self._free: SimpleQueue[dict[str, str]] = SimpleQueue()
        for environment in [{'CUDA_VISIBLE_DEVICES': gpu} for gpu in gpus] or [{}]:
            self._free.put(environment)

    def run(self, trial: Trial, keep_open: Sequence[int] = ()) -> Result:
        """Run a trial on a free GPU, see :class:`Executor`."""
        environment = self._free.get()
        try:
            return trial.run(environment, keep_open)
        finally:
            self._free.put(environment)

    def cancel(self) -> None:
        """Nothing: an interruption reaches the processes of this machine by itself."""

"""The scheduler of many trials: one process at a time, or one on each GPU."""

import re
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue

from nst_det.errors import UserError
from nst_det.experiments.trial import Result, Trial

REPORT_INTERVAL = 30  # seconds between two lines about the running trainings


def run_trials(
    trials: Sequence[Trial], gpus: Sequence[str] = (), keep_open: Sequence[int] = ()
) -> Iterator[tuple[Trial, Result | UserError]]:
    """Run trials in their order, and print the progress.

    If a trial fails, the other seeds of its method are skipped, because they would fail too.

    Args:
        trials (Sequence[Trial]): The trials.
        gpus (Sequence[str]): A value of ``CUDA_VISIBLE_DEVICES`` for each process that may run at
            the same time. Defaults to none: one process at a time, in the unchanged environment.
        keep_open (Sequence[int]): File descriptors that the processes inherit. Defaults to none.

    Yields:
        tuple[Trial, Result | UserError]: Each trial when it ends, with its result or its error.
    """
    free: SimpleQueue[dict[str, str]] = SimpleQueue()
    for environment in [{'CUDA_VISIBLE_DEVICES': gpu} for gpu in gpus] or [{}]:
        free.put(environment)
    running: dict[Trial, float] = {}
    failed: set[str] = set()

    def run(trial: Trial) -> Result | UserError | None:
        if trial.method in failed:
            return None
        environment = free.get()
        running[trial] = time.time()
        try:
            return trial.run(environment, keep_open)
        except UserError as error:
            failed.add(trial.method)
            return error
        finally:
            running.pop(trial)
            free.put(environment)

    workers = max(1, len(gpus))
    pool = ThreadPoolExecutor(workers)
    try:
        waiting: dict[Future, Trial] = {pool.submit(run, trial): trial for trial in trials}
        seconds: list[float] = []
        while waiting:
            ended, _ = wait(waiting, REPORT_INTERVAL, FIRST_COMPLETED)
            if not ended:
                for trial, since in list(running.items()):
                    print(f'  {trial.name}: {_position(trial.log)}, {_time(time.time() - since)}')
            for future in sorted(ended, key=list(waiting).index):
                trial, outcome = waiting.pop(future), future.result()
                if outcome is None:
                    print(f'{trial.name}: skipped, because another seed failed', flush=True)
                    continue
                place = f'[{len(trials) - len(waiting)}/{len(trials)}] {trial.name}'
                if isinstance(outcome, UserError):
                    print(f'{place}: failed: {outcome}', flush=True)
                else:
                    seconds.append(outcome.seconds)
                    left = statistics.fmean(seconds) * len(waiting) / workers
                    rest = f', about {_time(left)} left' if waiting else ''
                    taken = _time(outcome.seconds)
                    print(f'{place}: {outcome.results.text} after {taken}{rest}', flush=True)
                yield trial, outcome
    finally:
        pool.shutdown(cancel_futures=True)


def _position(log: Path) -> str:
    """The epoch and iteration of a training, read from the last line of its log that has them."""
    text = log.read_text(errors='replace') if log.is_file() else ''
    lines = re.findall(r'(Epoch\(\w+\) +\[[^\n]*?\]) .*?(eta: [\d:]+|$)', text, re.MULTILINE)
    return ' '.join(lines[-1]).strip() if lines else 'starting'


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

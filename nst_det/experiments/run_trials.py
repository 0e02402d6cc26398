"""Running many trials, one process at a time or one on each GPU."""

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

REPORT_INTERVAL = 60  # seconds between two lines about the trainings that go on


def run_trials(
    trials: Sequence[Trial], gpus: Sequence[str] = (), keep_open: Sequence[int] = ()
) -> Iterator[tuple[Trial, Result | UserError]]:
    """Run trials in their order, and print how it goes.

    Where a trial fails, the other seeds of its method, which would fail as well, are left out.

    Args:
        trials (Sequence[Trial]): The trials.
        gpus (Sequence[str]): What ``CUDA_VISIBLE_DEVICES`` is for each process at a time. Defaults
            to none: one process at a time, in the environment as it is.
        keep_open (Sequence[int]): Files that the trials' processes inherit. Defaults to none.

    Yields:
        tuple[Trial, Result | UserError]: Each trial as it ends, and what it gave or why it failed.
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
                    print(f'  {trial.name}: {_progress(trial.log)}, {_time(time.time() - since)}')
            for future in sorted(ended, key=list(waiting).index):
                trial, outcome = waiting.pop(future), future.result()
                if outcome is None:
                    print(f'{trial.name}: left out, for another seed failed', flush=True)
                    continue
                place = f'[{len(trials) - len(waiting)}/{len(trials)}] {trial.name}'
                if isinstance(outcome, UserError):
                    print(f'{place}: failed: {outcome}', flush=True)
                else:
                    seconds.append(outcome.seconds)
                    left = statistics.fmean(seconds) * len(waiting) / workers
                    print(
                        f'{place}: mAP {100 * outcome.mAP:.1f} after {_time(outcome.seconds)}'
                        + f', about {_time(left)} left' * bool(waiting),
                        flush=True,
                    )
                yield trial, outcome
    finally:
        pool.shutdown(cancel_futures=True)


def _progress(log: Path) -> str:
    """Where a training is, by the last line of its log that tells."""
    text = log.read_text(errors='replace') if log.is_file() else ''
    lines = re.findall(r'(Epoch\(\w+\) +\[[^\n]*?\]) .*?(eta: [\d:]+|$)', text, re.MULTILINE)
    return ' '.join(lines[-1]).strip() if lines else 'starting'


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

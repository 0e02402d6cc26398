"""Many trials in their order, on any executor."""

import re
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path

from nst_det.errors import UserError
from nst_det.experiments.executor import Executor
from nst_det.experiments.this_machine import ThisMachine
from nst_det.experiments.trial import Result, Trial

REPORT_INTERVAL = 30  # seconds between two lines about the running trainings


def run_trials(
    trials: Sequence[Trial], executor: Executor | None = None, keep_open: Sequence[int] = ()
) -> Iterator[tuple[Trial, Result | UserError]]:
    """Run trials in their order, and print the progress.

    If a trial fails, the other seeds of its method are skipped, because they would fail too.

    Args:
        trials (Sequence[Trial]): The trials.
        executor (Executor, optional): What runs them. Defaults to None: this machine, one process
            at a time.
        keep_open (Sequence[int]): File descriptors that the processes inherit. Defaults to none.

    Yields:
        tuple[Trial, Result | UserError]: Each trial when it ends, with its result or its error.
    """
    executor = executor or ThisMachine()
    running: dict[Trial, float] = {}
    failed: set[str] = set()

    def run(trial: Trial) -> Result | UserError | None:
        if trial.method in failed:
            return None
        running[trial] = time.time()
        try:
            return executor.run(trial, keep_open)
        except UserError as error:
            failed.add(trial.method)
            return error
        finally:
            running.pop(trial)

    pool = ThreadPoolExecutor(executor.workers)
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
                    left = statistics.fmean(seconds) * len(waiting) / executor.workers
                    rest = f', about {_time(left)} left' if waiting else ''
                    taken = _time(outcome.seconds)
                    print(f'{place}: {outcome.results.text} after {taken}{rest}', flush=True)
                yield trial, outcome
    except BaseException:
        executor.cancel()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _position(log: Path) -> str:
    """The epoch and iteration of a training, read from the last line of its log that has them."""
    text = log.read_text(errors='replace') if log.is_file() else ''
    lines = re.findall(r'(Epoch\(\w+\) +\[[^\n]*?\]) .*?(eta: [\d:]+|$)', text, re.MULTILINE)
    return ' '.join(lines[-1]).strip() if lines else 'starting'


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

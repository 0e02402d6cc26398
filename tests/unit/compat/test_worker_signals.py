"""A data worker ends by the SIGTERM of its training, and by no other."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from nst_det.compat.worker_signals import _init_worker


def work(running) -> None:
    _init_worker(worker_id=0, num_workers=1, rank=0, seed=0)
    running.set()
    time.sleep(600)


@pytest.fixture(params=['fork', 'forkserver'])
def worker(request):
    """A worker that runs, started by each method whose workers have another parent process."""
    context = multiprocessing.get_context(request.param)
    running = context.Event()
    process = context.Process(target=work, args=(running,), daemon=True)
    process.start()
    assert running.wait(120)
    yield process
    process.kill()
    process.join()


def test_a_worker_outlives_the_signal_of_a_scheduler_and_ends_by_that_of_its_training(worker):
    kill = f'import os; os.kill({worker.pid}, {int(signal.SIGTERM)})'
    subprocess.run([sys.executable, '-S', '-c', kill], check=True)
    worker.join(0.5)
    assert worker.is_alive()
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(30)
    assert worker.exitcode == 0

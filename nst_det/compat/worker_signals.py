"""Data workers that survive the SIGTERM which a scheduler sends to all processes of a job.

The problem: a cluster's scheduler announces the end of a job by a SIGTERM to each of its processes.
A data worker dies of it, and the training fails because of the dead worker before it can save.

The answer: a worker that mmengine starts ends by SIGTERM only if the training process sent it. If
the training process dies, its workers end within seconds.

It can go when the workers of torch or mmengine leave that signal to the training process.
"""

import multiprocessing
import os
import signal
import threading

from mmengine.dataset import worker_init_fn
from mmengine.runner import runner as mmengine_runner


def _end_with_parent() -> None:
    # os.getppid() may be the fork server's.
    parent = multiprocessing.parent_process().pid
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _init_worker(*args, **kwargs) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker_init_fn(*args, **kwargs)


def apply() -> None:
    """Let mmengine's Runner start its data workers this way."""
    mmengine_runner.default_worker_init_fn = _init_worker

"""Data workers that outlive the SIGTERM which a scheduler sends to a whole job.

The problem: a cluster's scheduler announces the end of a job by SIGTERM to each of its processes.
A data worker dies of it, and the training of that worker's death, before it can save.

The answer: the workers that mmengine starts end by SIGTERM only where it comes from the process
that they load for; and within seconds of that one's death, for which they watch.

It can go when torch's or mmengine's workers leave that signal to the process that they load for.
"""

import os
import signal
import threading

from mmengine.dataset import worker_init_fn
from mmengine.runner import runner as mmengine_runner


def _end_with_parent() -> None:
    parent = os.getppid()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _init_worker(*args, **kwargs) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker_init_fn(*args, **kwargs)


def apply() -> None:
    """Let mmengine's Runner initialise its data workers so."""
    mmengine_runner.default_worker_init_fn = _init_worker

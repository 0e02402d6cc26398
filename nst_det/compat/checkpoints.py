"""Loading mmengine's checkpoints where ``torch.load`` refuses to run code (torch 2.6 and later).

The problem: ``torch.load`` now defaults to ``weights_only=True``, and mmengine 0.10 calls it
without saying otherwise. Its checkpoints hold the training log as ``HistoryBuffer`` objects: numpy
arrays, and the buffer's statistics pickled as ``getattr(HistoryBuffer, 'mean')``. So both resuming
and testing fail.

The answer: allow-list exactly those. ``getattr`` itself would let a crafted file reach any function
of any allowed object, so what is served in its name gives HistoryBuffer's statistics only, and of
numpy's types only the plain numbers, whose arrays hold no Python objects. ``weights_only`` stays
on: a file that needs more is refused.

It can go when mmengine saves its log as plain numbers, or allow-lists its own classes.
"""

import pickle
from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_STATISTICS = ('min', 'max', 'current', 'mean')
_NUMBERS = '?bhilqBHILQefdFD'  # numpy's type codes: booleans, integers, floats, complex


def _statistic(owner: object, name: str) -> Callable:
    """Serve ``getattr`` for the statistics of a HistoryBuffer and for nothing else."""
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'refused getattr({type(owner).__name__}, {name!r}): a checkpoint may look up only '
        f"HistoryBuffer's {', '.join(_STATISTICS)}"
    )


_SAFE_GLOBALS = (
    HistoryBuffer,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in _NUMBERS},
    *(  # a checkpoint names the module as the numpy that wrote it did
        (pickled.__reduce__()[0], f'{module}.{name}')
        for pickled, name in ((np.empty(0), '_reconstruct'), (np.float64(0), 'scalar'))
        for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
    ),
    (_statistic, 'builtins.getattr'),
)


def apply() -> None:
    """Let ``torch.load(..., weights_only=True)`` read what mmengine's Runner saved."""
    if torch.__version__ >= (2, 6):
        torch.serialization.add_safe_globals(_SAFE_GLOBALS)

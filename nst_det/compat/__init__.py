"""What makes today's torch and numpy and mmdet 3.3 work together.

One module a shim; its docstring says which upstream problem it answers and when it can go.
"""

from . import (
    atomic_checkpoints,
    cpu_distributed,
    mmcv_ops,
    shipped_configs,
    weights_only,
    worker_signals,
)


def apply() -> None:
    """Install the shims, each where it is needed. Calling it again changes nothing."""
    mmcv_ops.apply()
    weights_only.apply()
    cpu_distributed.apply()
    worker_signals.apply()
    shipped_configs.apply()
    atomic_checkpoints.apply()

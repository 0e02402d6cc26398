"""What makes today's torch and numpy and mmdet 3.3 work together.

One module a shim; its docstring says which upstream problem it answers and when it can go.
"""

from . import (
    checkpoints,
    cpu_distributed,
    data_workers,
    mmcv_ops,
    shipped_configs,
    whole_checkpoints,
)


def apply() -> None:
    """Install the shims, each where it is needed. Calling it again changes nothing."""
    mmcv_ops.apply()
    checkpoints.apply()
    cpu_distributed.apply()
    data_workers.apply()
    shipped_configs.apply()
    whole_checkpoints.apply()

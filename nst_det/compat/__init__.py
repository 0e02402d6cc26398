"""Shims that make today's torch and numpy work together with mmdet 3.3.

Each module is one shim. Its docstring gives the upstream problem, the answer, and when it can go.
"""

from . import (
    atomic_checkpoints,
    cpu_distributed,
    dumped_types,
    installed_packages,
    late_sklearn,
    mmcv_ops,
    shipped_configs,
    weights_only,
    worker_signals,
)


def apply() -> None:
    """Install the shims that are needed here. Calling it again changes nothing."""
    mmcv_ops.apply()
    late_sklearn.apply()
    # These import mmdet, which needs the two shims before.
    from . import coco_classes, mmdet_apis, ssd_head

    mmdet_apis.apply()
    ssd_head.apply()
    coco_classes.apply()
    weights_only.apply()
    cpu_distributed.apply()
    worker_signals.apply()
    installed_packages.apply()
    shipped_configs.apply()
    dumped_types.apply()
    atomic_checkpoints.apply()

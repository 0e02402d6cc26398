"""Shims that make today's torch and numpy work together with mmdet 3.3.

Each module is one shim. Its docstring gives the upstream problem, the answer, and when it can go.
"""

from . import system_libraries


def apply() -> None:
    """Install the shims that are needed here. Calling it again changes nothing.

    Raises:
        ImportError: If OpenCV cannot be loaded, with what to install.
    """
    system_libraries.apply()
    from . import (  # they import mmengine and mmcv, which need OpenCV
        atomic_checkpoints,
        cpu_distributed,
        dumped_types,
        find_loader,
        installed_packages,
        late_sklearn,
        mmcv_ops,
        mmpretrain_models,
        shipped_configs,
        weights_only,
        worker_signals,
    )

    mmcv_ops.apply()
    mmpretrain_models.apply()
    late_sklearn.apply()
    # These import mmdet, which needs the three shims before.
    from . import coco_classes, mmdet_apis, ssd_head

    mmdet_apis.apply()
    ssd_head.apply()
    coco_classes.apply()
    find_loader.apply()
    weights_only.apply()
    cpu_distributed.apply()
    worker_signals.apply()
    installed_packages.apply()
    shipped_configs.apply()
    dumped_types.apply()
    atomic_checkpoints.apply()

"""The configs that nst_det ships, in ``_base_`` as ``'nst_det::faster_rcnn_nst_voc.py'``.

The problem: mmengine 0.10 finds ``'package::name'`` for a closed list of OpenMMLab's own packages,
in folders only, and not in an editable install.

The answer: what begins with ``nst_det::`` is looked up here; all else is mmengine's. Such a base
has no scope of its own: the names in it are mmdet's.

It can go when mmengine asks a package where its configs are.
"""

from mmengine.config import Config

from nst_det.config.find import SCOPE, shipped_config

_mmengines = Config._get_cfg_path


def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
    if cfg_path.startswith(SCOPE):
        return str(shipped_config(cfg_path)), None
    return _mmengines(cfg_path, filename)


def apply() -> None:
    """Let ``_base_`` name the configs that nst_det ships."""
    Config._get_cfg_path = staticmethod(_get_cfg_path)

"""Configs that nst_det ships, for ``_base_ = 'nst_det::faster_rcnn_nst_voc.py'``.

The problem: mmengine 0.10 finds ``'package::name'`` only for a fixed list of OpenMMLab's packages,
only in folders, and not in an editable install.

The answer: this package looks up each name that begins with ``nst_det::``, and mmengine the others.
The names in such a base are looked up in mmdet's scope.

It can go when mmengine asks a package where its configs are.
"""

from mmengine.config import Config

from nst_det.config.find import SCOPE, shipped_config

_get_path_of_mmengine = Config._get_cfg_path


def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
    if cfg_path.startswith(SCOPE):
        return str(shipped_config(cfg_path)), None
    return _get_path_of_mmengine(cfg_path, filename)


def apply() -> None:
    """Let ``_base_`` name the configs that nst_det ships."""
    Config._get_cfg_path = staticmethod(_get_cfg_path)

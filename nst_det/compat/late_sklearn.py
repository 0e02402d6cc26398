"""scikit-learn imported when it is used, and not by every start of mmdet.

The problem: ``import mmdet.models`` imports scikit-learn if it is installed, which takes as long as
a fifth of ``import nst_det``. Two parts of mmdet use it: the PAA head and the interpolation of
tracks.

The answer: mmdet's modules are imported while scikit-learn is hidden. Those two parts then get
functions that import it when they are called.

It can go when mmdet imports scikit-learn where it uses it.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any


class _LateModule:
    """A module that is imported when a function or class of it is called.

    Args:
        name (str): The name of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        def call(*args, **kwargs):
            return getattr(import_module(self._name), attribute)(*args, **kwargs)

        return call


def apply() -> None:
    """Import mmdet's models without scikit-learn, unless one of both is imported already."""
    if 'mmdet.models' in sys.modules or 'sklearn' in sys.modules or not find_spec('sklearn'):
        return
    sys.modules['sklearn'] = None  # type: ignore[assignment]  # so importing it fails
    try:
        from mmdet.models.dense_heads import paa_head
        from mmdet.models.task_modules.tracking import interpolation
    finally:
        del sys.modules['sklearn']
    paa_head.skm = _LateModule('sklearn.mixture')
    interpolation.GPR = _LateModule('sklearn.gaussian_process').GaussianProcessRegressor
    interpolation.RBF = _LateModule('sklearn.gaussian_process.kernels').RBF
    interpolation.HAS_SKIKIT_LEARN = True

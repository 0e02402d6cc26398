"""NST for MMDetection: importing this package registers everything that it adds to mmdet."""

from importlib.util import find_spec

_missing = [
    name for name in ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet') if not find_spec(name)
]
if _missing:
    raise ImportError(
        f'nst_det needs {", ".join(_missing)}, which this environment has not: '
        "pip install 'nst_det[mmdet]' brings all it needs on a fresh machine; where a compiled "
        'mmcv is wanted, install that first, then mmengine and mmdet'
    )

from nst_det import compat  # noqa: E402

compat.apply()

from nst_det import datasets, engine, models  # noqa: E402
from nst_det.version import __version__  # noqa: E402

__all__ = ['__version__', 'compat', 'datasets', 'engine', 'models']

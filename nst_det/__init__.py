"""NST for MMDetection: importing this package registers everything that it adds to mmdet."""

from importlib.util import find_spec

_missing = [
    name for name in ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet') if not find_spec(name)
]
if _missing:
    raise ImportError(
        f'nst_det needs {", ".join(_missing)}, which this environment lacks: on a fresh machine '
        'pip install torch torchvision mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 pycocotools '
        "'setuptools<82'; with a compiled mmcv, install that instead of mmcv-lite"
    )

from nst_det import compat  # noqa: E402

compat.apply()

from nst_det import datasets, engine, evaluation, models  # noqa: E402
from nst_det.compat.versions import show_versions  # noqa: E402
from nst_det.version import __version__  # noqa: E402

__all__ = [
    '__version__',
    'compat',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'show_versions',
]

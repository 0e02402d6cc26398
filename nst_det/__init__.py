"""NST for MMDetection: importing this package registers everything that it adds to mmdet.

In an environment without mmdet but with ONNX Runtime or OpenVINO it registers nothing: there
`nst_det.runtime` detects with exported models.
"""

import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec

import nst_det_tool
from nst_det.version import __version__

__all__ = ['__version__', 'register', 'show_versions']


@functools.cache
def register() -> None:
    """Make mmdet and today's torch work together, and register all parts of this package.

    Importing the package does this. Only the command-line tools, which first read their arguments,
    call it themselves. Calling it again changes nothing.

    Raises:
        ImportError: If a package that this one is built on is not installed, or OpenCV cannot be
            loaded.
    """
    needed = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'cv2')
    missing = [name for name in needed if not find_spec(name)]
    if missing:
        raise ImportError(
            f'nst_det needs {", ".join(missing)}, which this environment lacks: on a fresh machine '
            'pip install torch torchvision mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0 '
            'pycocotools; with a compiled mmcv, install that instead of mmcv-lite'
        )
    # The fork onedl-mmdetection prints when it is imported: what a tool prints is its own.
    with _garbage_collection_paused(), redirect_stdout(sys.stderr):
        from nst_det import compat

        compat.apply()

        from nst_det import datasets, engine, evaluation, models  # noqa: F401  they register parts
        from nst_det.compat import mmpretrain_scope

        mmpretrain_scope.apply()


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Import faster: what is imported stays, and searching it for garbage takes a tenth longer."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def show_versions() -> None:
    """Print the versions of nst_det and of the packages that it is built on, and the devices."""
    from nst_det.compat import versions

    versions.show_versions()


def _is_for_exported_models() -> bool:
    """Whether this environment has a runtime for exported models, and no mmdet."""
    return not find_spec('mmdet') and any(map(find_spec, ('onnxruntime', 'openvino')))


if not nst_det_tool.registers_later and not _is_for_exported_models():
    register()

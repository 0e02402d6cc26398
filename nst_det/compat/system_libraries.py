"""A bare machine, which lacks system libraries of OpenCV, and Python's ``venv``.

The problem: the wheel of OpenCV that mmengine and mmcv require can open windows, and needs system
libraries for it. A minimal Debian and a slim container have none of them. There ``import cv2``
fails and names the first one, after a download of several GB.

The answer: the set-up of a fresh machine begins with this file, as a script that needs only Python.
It prints one line that names what to install. ``import nst_det`` in an environment that was made
otherwise raises such a line.

It can go when mmengine and mmcv require ``opencv-python-headless``.
"""

import ctypes
import sys
from importlib.util import find_spec

# What cv2 loads, with the package of Debian and Ubuntu. What every system has, such as the C++
# library, is left out.
PACKAGES = {
    'libGL.so.1': 'libgl1',
    'libgthread-2.0.so.0': 'libglib2.0-0',
    'libxcb.so.1': 'libxcb1',
}


def missing_libraries() -> dict[str, str]:
    """Find the libraries of OpenCV that cannot be loaded.

    Returns:
        dict[str, str]: The package of each, by its file name, such as ``'libGL.so.1'``.
    """
    return {library: package for library, package in PACKAGES.items() if not _loads(library)}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_for_setup() -> str:
    """Describe what a new virtual environment with OpenCV lacks here.

    Returns:
        str: What is missing and what to do, in one line. Empty if nothing is missing.
    """
    missing = missing_libraries() if sys.platform == 'linux' else {}
    if find_spec('ensurepip'):
        return _advice(missing, 'make HEADLESS=1') if missing else ''
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    return _advice({**missing, f'the module venv of {version}': f'{version}-venv'})


def _advice(missing: dict[str, str], without_root: str = '') -> str:
    install = f'apt-get update && apt-get install {" ".join(missing.values())}'
    other = f'; without root: {without_root}' if without_root else ''
    return f'this machine lacks {", ".join(missing)}; on Debian and Ubuntu: {install}{other}'


def apply() -> None:
    """Import OpenCV.

    Raises:
        ImportError: If it cannot be loaded, with what to do.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        missing = missing_libraries()
        advice = _advice(missing, 'pip install opencv-python-headless') if missing else error
        raise ImportError(f'OpenCV cannot be loaded: {advice}') from error


if __name__ == '__main__' and (lacking := missing_for_setup()):
    print(f'error: {lacking}', file=sys.stderr)
    sys.exit(2)

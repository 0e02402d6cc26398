"""A bare machine, which lacks system libraries of OpenCV, and Python's ``venv``.

The problem: the wheel of OpenCV that mmengine and mmcv require can open windows, and needs system
libraries for it. A minimal Debian and a slim container have none. ``import cv2`` fails there
and names the first one, after a download of several GB.

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


def missing_libraries() -> list[str]:
    """Find the libraries of OpenCV that cannot be loaded.

    Returns:
        list[str]: Their file names, such as ``'libGL.so.1'``.
    """
    return [library for library in PACKAGES if not _loads(library)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_for_setup() -> str:
    """Describe what a new virtual environment with OpenCV lacks here.

    Returns:
        str: What is missing and what installs it, in one line. Empty if nothing is missing.
    """
    missing = missing_libraries() if sys.platform == 'linux' else []
    packages = [PACKAGES[library] for library in missing]
    if not find_spec('ensurepip'):
        version = f'python{sys.version_info.major}.{sys.version_info.minor}'
        missing.append(f'the module venv of {version}')
        packages.append(f'{version}-venv')
    return _advice(missing, packages) if missing else ''


def _advice(missing: list[str], packages: list[str]) -> str:
    return (
        f'this machine lacks {", ".join(missing)}; on Debian and Ubuntu: '
        f'apt-get update && apt-get install {" ".join(packages)}'
    )


def apply() -> None:
    """Import OpenCV.

    Raises:
        ImportError: If it cannot be loaded, with what to install.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        reason, missing = str(error), missing_libraries()
        if missing:
            reason = _advice(missing, [PACKAGES[library] for library in missing])
            reason += '; or, without root: pip install --force-reinstall opencv-python-headless'
        raise ImportError(f'OpenCV cannot be loaded: {reason}') from error


if __name__ == '__main__' and (lacking := missing_for_setup()):
    print(f'error: {lacking}', file=sys.stderr)
    sys.exit(2)

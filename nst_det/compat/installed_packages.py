"""Finding other packages, such as mmdet in ``_base_ = 'mmdet::…'``, without ``pkg_resources``.

The problem: mmengine 0.10 asks ``pkg_resources`` whether a package is installed, and where.
setuptools has it no longer, from version 82 on.

The answer: where it is missing, these functions ask Python's own import system and metadata.

It can go when mmengine does without ``pkg_resources``.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from mmengine.utils import package_utils

# mmengine's modules that hold these functions under their own names.
_USERS = (
    'mmengine.utils.package_utils',
    'mmengine.utils',
    'mmengine.config.config',
    'mmengine.hub.hub',
)


def package2module(package: str) -> str:
    """Give the module that a package on the index brings, such as ``'mmcv'`` for ``'mmcv-lite'``.

    Args:
        package (str): The name by which pip installs it.

    Returns:
        str: The name by which Python imports it.

    Raises:
        PackageNotFoundError: If no such package is installed.
        ValueError: If the package does not name its modules.
    """
    names = (distribution(package).read_text('top_level.txt') or '').split()
    if not names:
        raise ValueError(f'can not infer the module name of {package}')
    return names[0]


def get_installed_path(package: str) -> str:
    """Find the folder of a package.

    Args:
        package (str): The name by which Python imports it, or by which pip installs it.

    Returns:
        str: The folder with its ``__init__.py``.

    Raises:
        PackageNotFoundError: If no such package is installed.
        RuntimeError: If it is a namespace package, which has no single folder.
    """
    # A name with a hyphen is never a module's; one with a dot would be imported by asking.
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None:
        spec = find_spec(package2module(package))
    if spec is None or spec.origin is None:
        raise RuntimeError(f'{package} is a namespace package, which has no single folder')
    return str(Path(spec.origin).parent)


def is_installed(package: str) -> bool:
    """Check whether a package can be imported, or pip has installed it.

    Args:
        package (str): The name by which Python imports it, or by which pip installs it.

    Returns:
        bool: Whether it is there. Namespace packages are not, as for mmengine.
    """
    try:
        distribution(package)
    except PackageNotFoundError:
        spec = find_spec(package) if package.isidentifier() else None
        return spec is not None and spec.origin is not None
    return True


def apply() -> None:
    """Let mmengine ask these functions where ``pkg_resources`` is missing."""
    if find_spec('pkg_resources'):
        return
    for function in (package2module, get_installed_path, is_installed):
        theirs = getattr(package_utils, function.__name__)
        for user in filter(None, map(sys.modules.get, _USERS)):
            if getattr(user, function.__name__, None) is theirs:
                setattr(user, function.__name__, function)

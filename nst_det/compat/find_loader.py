"""Python 3.14, where ``pkgutil.find_loader`` is gone.

The problem: mmengine 0.10 asks it for ``mmcv._ext`` at the start of every training and test that is
not distributed, and so does mmcv.

The answer: where it is missing, these two find one with the same answers under that name. Python's
own ``pkgutil`` stays as it is.

It can go when mmengine and mmcv ask ``importlib.util.find_spec`` themselves.
"""

import pkgutil
from importlib.util import find_spec
from types import SimpleNamespace

from mmcv.utils import ext_loader
from mmengine.utils.dl_utils import misc


def find_loader(name: str):
    """Find what would load a module.

    Args:
        name (str): The full name of the module. The packages that it is in are imported.

    Returns:
        Loader: Its loader. None if there is no such module.
    """
    spec = find_spec(name)
    return spec and spec.loader


def apply() -> None:
    """Give it to mmengine and mmcv where Python lacks it."""
    if not hasattr(pkgutil, 'find_loader'):
        misc.pkgutil = ext_loader.pkgutil = SimpleNamespace(find_loader=find_loader)

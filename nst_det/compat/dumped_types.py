"""Types of a pure Python config that was dumped: ``'mmdet.models.losses.smooth_l1_loss.L1Loss'``.

mmengine 0.10.7 writes the imported classes of such a config with their full path, above all into
the work dir. It reads a path from the left, and stops at ``smooth_l1_loss``, because the package
has a function of that name beside the module. It then finds no class, so neither a training nor
anything that reads the work dir can use the config. Here the module is imported by its full name.
"""

from importlib import import_module
from typing import Any

from mmengine.registry import registry

_find_from_left = registry.get_object_from_string


def apply() -> None:
    """Let mmengine find a class whose module has the name of a function."""
    registry.get_object_from_string = find


def find(path: str) -> Any:
    """Find an object by its full path.

    Args:
        path (str): The path, such as ``'torch.optim.sgd.SGD'``.

    Returns:
        Any: The object; None if there is none.
    """
    found = _find_from_left(path)
    module, _, name = path.rpartition('.')
    if found is None and module:
        try:
            found = getattr(import_module(module), name, None)
        except ImportError:
            return None
    return found

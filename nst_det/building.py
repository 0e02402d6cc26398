"""Building a part from its config dict, with the user's mistakes said plainly."""

import inspect
from typing import Any

from mmdet.registry import MODELS

from nst_det.errors import UserError, nearest


def build_part(cfg: Any, base: type, what: str) -> Any:
    """Build a registered part, checking its type and the names of its arguments.

    Args:
        cfg (dict or object): The part's config with its ``type``, or the part itself.
        base (type): What the part must be an instance of.
        what (str): What the part is called in an error, such as ``'kernel'``.

    Returns:
        object: The part.

    Raises:
        UserError: Where the type is missing, unknown or of another kind, or an argument is not
            one of the part's.
    """
    if isinstance(cfg, base):
        return cfg
    known = {
        name: cls
        for name, cls in MODELS.module_dict.items()
        if inspect.isclass(cls) and issubclass(cls, base)
    }
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f'{what} is {cfg!r}, expected a dict with a type: {nearest("", known)}')
    kind = MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    if not (inspect.isclass(kind) and issubclass(kind, base)):
        raise UserError(f"unknown {what} '{cfg['type']}': {nearest(str(cfg['type']), known)}")
    check_keys(cfg, [*inspect.signature(kind).parameters, 'type'], f'{what} {kind.__name__}')
    return MODELS.build(cfg)


def check_keys(cfg: dict, allowed: list[str], where: str) -> None:
    """Refuse the first key of a config dict that nothing would read.

    Args:
        cfg (dict): The config.
        allowed (list[str]): The keys that it may have.
        where (str): What the dict is, for the error.

    Raises:
        UserError: Where a key is not allowed.
    """
    for key in cfg:
        if key not in allowed:
            raise UserError(f"{where} has no option '{key}': {nearest(key, allowed)}")

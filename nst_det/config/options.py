"""Building a part from its config dict, with the user's mistakes said plainly."""

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.registry import Registry

from nst_det.errors import UserError, nearest

Class = TypeVar('Class', bound=type)


class OptionError(UserError):
    """An error whose message begins with the option's path, such as ``loss.kernel.degree``."""


@contextmanager
def within(where: str) -> Iterator[None]:
    """Have the errors of a block begin with the path of what the block builds.

    Args:
        where (str): The path, such as ``'transfers[0]'``.

    Raises:
        OptionError: In place of a `UserError`.
    """
    try:
        yield
    except OptionError as error:
        raise OptionError(f'{where}.{error}') from error
    except UserError as error:
        raise OptionError(f'{where}: {error}') from error


def build_part(cfg: Any, base: type, what: str, registry: Registry = MODELS) -> Any:
    """Build a registered part, checking its type and the names of its arguments.

    A part's own errors begin with its class and the option, ``'PolynomialKernel: degree is …'``;
    in place of the class they get the part's path.

    Args:
        cfg (dict or object): The part's config with its ``type``, or the part itself.
        base (type): What the part must be an instance of.
        what (str): The part's path in the config, such as ``'kernel'``.
        registry (Registry): Where its type is registered. Defaults to mmdet's ``MODELS``.

    Returns:
        object: The part.

    Raises:
        OptionError: Where the type is missing, unknown or of another kind, an argument is missing
            or not one of the part's, or the part refuses one.
    """
    if isinstance(cfg, base):
        return cfg
    known = {
        name: cls
        for name, cls in registry.module_dict.items()
        if inspect.isclass(cls) and issubclass(cls, base)
    }
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise OptionError(
            f'{what} is {cfg!r:.80}, expected a dict with a type: {nearest("", known)}'
        )
    kind = _kind(cfg['type'], registry)
    if not (inspect.isclass(kind) and issubclass(kind, base)):
        named = f"unknown {what} '{cfg['type']!s:.80}'"
        raise OptionError(f'{what}.type: {named}: {nearest(str(cfg["type"]), known)}')
    options = {key: value for key, value in cfg.items() if key != 'type'}
    try:
        check_options(kind.__init__, options, f'{what} ({kind.__name__})')
        return kind(**options)
    except OptionError as error:
        begins_here = str(error).startswith(f'{what} ({kind.__name__})')
        raise OptionError(str(error) if begins_here else f'{what}.{error}') from error
    except UserError as error:
        said = str(error).removeprefix(f'{kind.__name__}: ')
        names_option = re.match(r'(\w+)\b', said)
        dot = names_option and names_option[1] in inspect.signature(kind).parameters
        raise OptionError(f'{what}.{said}' if dot else f'{what}: {said}') from error


def _kind(name: Any, registry: Registry) -> Any:
    if not isinstance(name, str):
        return name
    try:
        return registry.get(name)
    except Exception:  # it looks for modules of that name as well
        return None


def check_options(init: Callable, options: dict, where: str) -> None:
    """Check that a class's ``__init__`` can be called with options.

    Args:
        init (Callable): The ``__init__``.
        options (dict): Its arguments by name.
        where (str): What takes them, for the error.

    Raises:
        OptionError: Where one is missing or none of its.
    """
    _, *parameters = inspect.signature(init).parameters.values()
    if all(one.kind is not one.VAR_KEYWORD for one in parameters):
        check_keys(options, [one.name for one in parameters], where)
    for one in parameters:
        optional = one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        if not optional and one.name not in options:
            raise OptionError(f"{where} has no '{one.name}': give it")


def checked_options(cls: Class) -> Class:
    """A class decorator: missing and unknown options are a `UserError` that names the class."""
    init = cls.__init__  # type: ignore[misc]  # of this very class

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **options: Any) -> None:
        given = list(inspect.signature(init).parameters)[1 : 1 + len(args)]
        check_options(init, {**dict.fromkeys(given), **options}, cls.__name__)
        init(self, *args, **options)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def check_keys(cfg: dict, allowed: list[str], where: str) -> None:
    """Refuse the first key of a config dict that nothing would read.

    Args:
        cfg (dict): The config.
        allowed (list[str]): The keys that it may have.
        where (str): What the dict is, for the error.

    Raises:
        OptionError: Where a key is not allowed.
    """
    for key in cfg:
        if key not in allowed:
            raise OptionError(f"{where} has no option '{key}': {nearest(str(key), allowed)}")


def check_hooks(cfgs: Any) -> None:
    """Check the package's own hooks among a config's ``custom_hooks``, before any training.

    Args:
        cfgs (Any): The ``custom_hooks``.

    Raises:
        OptionError: Where they are no list, or one of the package's hooks refuses an option.
    """
    if cfgs is None:
        return
    if not isinstance(cfgs, (list, tuple)):
        raise OptionError(f'custom_hooks is a {type(cfgs).__name__}, expected a list of dicts')
    for i, cfg in enumerate(cfgs):
        if not isinstance(cfg, dict):
            continue
        kind = _kind(cfg.get('type'), HOOKS)
        if inspect.isclass(kind) and kind.__module__.startswith('nst_det.'):
            options = {key: value for key, value in cfg.items() if key != 'priority'}
            build_part(options, Hook, f'custom_hooks[{i}]', HOOKS)

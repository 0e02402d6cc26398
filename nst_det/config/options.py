"""Building a part from its config dict, with clear errors for mistakes in the config."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.registry import Registry

from nst_det.errors import UserError, nearest

Class = TypeVar('Class', bound=type)


@contextmanager
def within(where: str) -> Iterator[None]:
    """Let the errors of a block begin with the path of the part that the block builds.

    Args:
        where (str): The path, such as ``'transfers[0]'``.

    Raises:
        UserError: If the block raises one.
    """
    try:
        yield
    except UserError as error:
        if error.option is None:
            raise UserError(f'{where}: {error}', where) from error
        raise UserError(f'{where}.{error}', f'{where}.{error.option}') from error


def build_part(cfg: Any, base: type, what: str, registry: Registry = MODELS) -> Any:
    """Build a registered part, checking its type and the names of its arguments.

    Args:
        cfg (dict or object): The part's config with its ``type``, or the part itself.
        base (type): The class that the part must be an instance of.
        what (str): The part's path in the config, such as ``'kernel'``. Errors begin with it.
        registry (Registry): The registry of its type. Defaults to mmdet's ``MODELS``.

    Returns:
        object: The part.

    Raises:
        UserError: If the type is missing, unknown or of another kind, an argument is missing or
            unknown, or the part refuses a value.
    """
    if isinstance(cfg, base):
        return cfg
    known = {
        name: cls
        for name, cls in registry.module_dict.items()
        if inspect.isclass(cls) and issubclass(cls, base)
    }
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(
            f'{what} is {cfg!r:.80}, expected a dict with a type: {nearest("", known)}', what
        )
    kind = _registered(cfg['type'], registry)
    if not (inspect.isclass(kind) and issubclass(kind, base)):
        name = str(cfg['type'])
        raise UserError(
            f"{what}.type: unknown {what} '{name:.80}': {nearest(name, known)}", f'{what}.type'
        )
    options = {key: value for key, value in cfg.items() if key != 'type'}
    check_options(kind.__init__, options, kind.__name__, what)
    with within(what):
        return kind(**options)


def _registered(name: Any, registry: Registry) -> Any:
    """The class of a type, None if the registry does not know it."""
    if not isinstance(name, str):
        return name
    try:
        return registry.get(name)
    except Exception:  # the registry also looks for modules of that name
        return None


def check_options(init: Callable, options: dict, owner: str, where: str = '') -> None:
    """Check that a class's ``__init__`` can be called with options.

    Args:
        init (Callable): The ``__init__``.
        options (dict): Its arguments by name.
        owner (str): The name of the class, for the error.
        where (str): The path of the part, for the error. Defaults to '', none.

    Raises:
        UserError: If an argument is missing or unknown.
    """
    _, *parameters = inspect.signature(init).parameters.values()
    described = f'{where} ({owner})' if where else owner
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        names = [parameter.name for parameter in parameters]
        _check_keys(options, names, described, where)
    for parameter in parameters:
        optional = parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if not optional and parameter.name not in options:
            raise UserError(
                f"{described} has no '{parameter.name}': give it", _join(where, parameter.name)
            )


def checked_options(cls: Class) -> Class:
    """A class decorator: missing and unknown options are a `UserError` that names the class."""
    init = cls.__init__  # type: ignore[misc]  # that of this very class

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **options: Any) -> None:
        given = list(inspect.signature(init).parameters)[1 : 1 + len(args)]
        check_options(init, {**dict.fromkeys(given), **options}, cls.__name__)
        init(self, *args, **options)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def check_keys(cfg: dict, allowed: list[str], where: str) -> None:
    """Raise an error for the first unknown key of a config dict.

    Args:
        cfg (dict): The config dict.
        allowed (list[str]): The keys that it may have.
        where (str): Its path, for the error.

    Raises:
        UserError: If a key is not allowed.
    """
    _check_keys(cfg, allowed, where, where)


def _check_keys(cfg: dict, allowed: list[str], described: str, where: str) -> None:
    for key in cfg:
        if key not in allowed:
            hint = nearest(str(key), allowed)
            if key == '_delete_':  # mmengine leaves it where there is nothing to delete
                hint = 'it works in a dict that the base has under the same key; take it out here'
            raise UserError(f"{described} has no option '{key}': {hint}", _join(where, key))


def _join(where: str, key: Any) -> str:
    return f'{where}.{key}' if where else str(key)


def check_hooks(cfgs: Any) -> None:
    """Check the package's own hooks among the ``custom_hooks`` of a config.

    Args:
        cfgs (Any): The ``custom_hooks``.

    Raises:
        UserError: If they are no list, or one of the package's hooks refuses an option.
    """
    if cfgs is None:
        return
    if not isinstance(cfgs, (list, tuple)):
        raise UserError(
            f'custom_hooks is a {type(cfgs).__name__}, expected a list of dicts', 'custom_hooks'
        )
    for i, cfg in enumerate(cfgs):
        if not isinstance(cfg, dict):
            continue
        kind = _registered(cfg.get('type'), HOOKS)
        if inspect.isclass(kind) and kind.__module__.startswith('nst_det.'):
            options = {key: value for key, value in cfg.items() if key != 'priority'}
            build_part(options, Hook, f'custom_hooks[{i}]', HOOKS)

"""Checks of the values that a user gives to options: each returns the value or raises UserError.

>>> check_number('temperature', 4.0, above=0)
4.0
"""

import sys
from os import PathLike
from typing import Any

from nst_det.errors import UserError


def check_number(
    option: str,
    value: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    hint: str = '',
) -> float:
    """Check that a value is a finite number, and not a bool.

    Args:
        option (str): The option's path, such as ``'loss_weight'``.
        value (Any): The value that was given.
        minimum (float, optional): The smallest number allowed. Defaults to None.
        maximum (float, optional): The largest number allowed. Defaults to None.
        above (float, optional): The number that the value must exceed. Defaults to None.
        hint (str): What follows the expectation in the message, such as ``', or None'``.
            Defaults to ''.

    Returns:
        float: The value, as it was given.

    Raises:
        UserError: If it is anything else.
    """
    valid = is_number(value) and abs(value) <= sys.float_info.max  # NaN is not, either
    if not (valid and _in_range(value, minimum, maximum, above)):
        expected = f'a number{_range_text(minimum, maximum, above)}{hint}'
        raise wrong_value(option, value, expected)
    return value


def check_integer(
    option: str,
    value: Any,
    minimum: int | None = None,
    maximum: int | None = None,
    hint: str = '',
) -> int:
    """Check that a value is a whole number, and not a bool.

    Args:
        option (str): The option's path.
        value (Any): The value that was given.
        minimum (int, optional): The smallest number allowed. Defaults to None.
        maximum (int, optional): The largest number allowed. Defaults to None.
        hint (str): What follows the expectation in the message. Defaults to ''.

    Returns:
        int: The value.

    Raises:
        UserError: If it is anything else.
    """
    if not (_is_kind(value, (int,)) and _in_range(value, minimum, maximum)):
        expected = f'a whole number{_range_text(minimum, maximum)}{hint}'
        raise wrong_value(option, value, expected)
    return value


def check_flag(option: str, value: Any) -> bool:
    """Check that a value is True or False.

    Args:
        option (str): The option's path.
        value (Any): The value that was given.

    Returns:
        bool: The value.

    Raises:
        UserError: If it is anything else.
    """
    return check_choice(option, value, (True, False))


def check_choice(option: str, value: Any, choices: tuple) -> Any:
    """Check that a value is one of several, of the same type.

    Args:
        option (str): The option's path.
        value (Any): The value that was given.
        choices (tuple): The values allowed: texts, numbers, bools or None.

    Returns:
        Any: The value.

    Raises:
        UserError: If it is anything else.
    """
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return value
    *others, last = map(repr, choices)
    raise wrong_value(option, value, f'{", ".join(others)} or {last}' if others else last)


def check_path(option: str, value: Any, expected: str = 'a path') -> Any:
    """Check that a value is a path: a text that is not empty, or a ``PathLike``.

    Args:
        option (str): The option's path.
        value (Any): The value that was given.
        expected (str): What it is to the user. Defaults to ``'a path'``.

    Returns:
        str or PathLike: The value.

    Raises:
        UserError: If it is anything else.
    """
    if not (isinstance(value, (str, PathLike)) and str(value)):
        raise wrong_value(option, value, expected)
    return value


def check_typed_dict(option: str, value: Any) -> dict:
    """Check that a value is a dict with a ``type``, as mmengine builds parts from.

    Args:
        option (str): The option's path.
        value (Any): The value that was given.

    Returns:
        dict: The value.

    Raises:
        UserError: If it is anything else.
    """
    if not isinstance(value, dict) or 'type' not in value:
        raise wrong_value(option, value, 'a dict with a type')
    return value


def wrong_value(option: str, value: Any, expected: str) -> UserError:
    """Make the error for a value that an option cannot take.

    Args:
        option (str): The option's path.
        value (Any): The value that was given.
        expected (str): What the option takes.

    Returns:
        UserError: The error, to be raised.
    """
    return UserError(f'{option} is {_shown(value)}, expected {expected}', option)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes
        text = f'a {type(value).__name__}'
    return ' '.join(text.split())[:80]


def is_number(value: Any) -> bool:
    """Whether a value is a number, NaN and infinity included, and not a bool."""
    return _is_kind(value, (int, float))


def _is_kind(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _in_range(
    value: float, minimum: float | None, maximum: float | None, above: float | None = None
) -> bool:
    return (
        (minimum is None or value >= minimum)
        and (maximum is None or value <= maximum)
        and (above is None or value > above)
    )


def _range_text(minimum: float | None, maximum: float | None, above: float | None = None) -> str:
    if minimum is not None and maximum is not None:
        return f' from {minimum} to {maximum}'
    if above is not None:
        return f' greater than {above:g}'
    if minimum is not None:
        return f' of at least {minimum}'
    return '' if maximum is None else f' of at most {maximum}'

"""Errors that a user can correct, each reported in one clear line."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """An error that the user can correct: the tools print its one line and exit with 2.

    Args:
        message (str): What was given, what was expected and what to do. Where it is about an
            option of a config, it begins with the path of that option, or with the path of the
            part that lacks it.
        option (str, optional): The path of the option that is wrong, such as
            ``'teacher.checkpoint'`` or ``'transfers[0].loss.kernel.degree'``. Defaults to None:
            the error is about no option.
    """

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


def nearest(name: str, choices: Iterable[str], count: int = 3) -> str:
    """Suggest the valid choices that are closest to a misspelt name.

    Args:
        name (str): The name that was given.
        choices (Iterable[str]): The valid names.
        count (int): How many to suggest at most. Defaults to 3.

    Returns:
        str: ``"did you mean 'a' or 'b'?"``, or all the choices if none is close.
    """
    choices = sorted(set(choices))
    close = difflib.get_close_matches(name, choices, n=count, cutoff=0.5)
    if close:
        return 'did you mean ' + ' or '.join(f"'{choice}'" for choice in close) + '?'
    return 'choose from ' + ', '.join(f"'{choice}'" for choice in choices[:20])


def one_line(error: BaseException, with_type: bool = True) -> str:
    """Write an error in one line.

    Args:
        error (BaseException): The error.
        with_type (bool): Begin with the name of its class. Defaults to True.

    Returns:
        str: The class and the message. The class alone if there is no message.
    """
    kind, message = type(error).__name__, ' '.join(str(error).split())
    if not message:
        return kind
    return f'{kind}: {message}' if with_type else message


def last_line(error: object) -> str:
    """Shorten the message of an error to what a user reads.

    An error out of a data worker carries the worker's traceback, of which the last line counts.

    Args:
        error (object): The error, or its message.

    Returns:
        str: The last line of the message, without the name of an error's class.
    """
    line = (str(error).strip().splitlines() or [''])[-1]
    return re.sub(r'^[\w.]+Error: ', '', line)


def refuse_existing(path: Path, advice: str = 'remove it, or choose another name') -> None:
    """Check that a file to be written does not exist yet.

    Args:
        path (Path): The file.
        advice (str): What the user can do if it exists. Defaults to
            ``'remove it, or choose another name'``.

    Raises:
        UserError: If it exists.
    """
    if path.exists():
        raise UserError(f'{path} exists already: {advice}')

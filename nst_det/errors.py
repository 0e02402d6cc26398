"""What went wrong by the user's hand, said in one line."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """An error that the user can mend: the tools print its one line and exit with 2.

    Its message says what was given, what was expected and what to do.
    """


def nearest(name: str, choices: Iterable[str], count: int = 3) -> str:
    """Suggest the valid choices that are closest to a misspelt one.

    Args:
        name (str): What was given.
        choices (Iterable[str]): What would have been valid.
        count (int): How many to name at most. Defaults to 3.

    Returns:
        str: ``"did you mean 'a' or 'b'?"``, or all the choices where none is close.
    """
    choices = sorted(set(choices))
    close = difflib.get_close_matches(name, choices, n=count, cutoff=0.5)
    if close:
        return 'did you mean ' + ' or '.join(f"'{choice}'" for choice in close) + '?'
    return 'choose from ' + ', '.join(f"'{choice}'" for choice in choices[:20])


def one_line(error: Exception) -> str:
    """An error in one line.

    Args:
        error (Exception): Whatever was raised.

    Returns:
        str: Its type and its message.
    """
    return f'{type(error).__name__}: {" ".join(str(error).split())}'

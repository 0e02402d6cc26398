"""The checkpoint files that the user trusts: these alone may run code while they are loaded."""

from pathlib import Path

from nst_det.errors import UserError

TRUST_OPTION = '--trust-pickled-checkpoint'
_trusted: set[Path] = set()


def trust(paths: list[str]) -> None:
    """Let checkpoint files run the code that they hold when they are loaded, as pickles do.

    Args:
        paths (list[str]): The files.

    Raises:
        UserError: If a file does not exist.
    """
    for path in paths:
        file = Path(path).expanduser()
        if not file.is_file():
            raise UserError(f'{TRUST_OPTION} {path}: there is no such file')
        _trusted.add(file.resolve())


def is_trusted(file: Path) -> bool:
    """Tell whether :func:`trust` has named a file.

    Args:
        file (Path): The file.

    Returns:
        bool: Whether it may run code while it is loaded.
    """
    return file.resolve() in _trusted

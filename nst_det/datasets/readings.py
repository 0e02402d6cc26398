"""What was read otherwise than it is written, for the log."""


class Readings:
    """Counts what was read otherwise than it is written, and keeps the first place of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, what: str, where: str) -> None:
        """Count one.

        Args:
            what (str): What was read otherwise, in the plural, such as ``'<difficult> without
                a value, read as 0'``.
            where (str): The file.
        """
        count, first = self._found.get(what, (0, where))
        self._found[what] = count + 1, first

    def lines(self) -> list[str]:
        """Write a line for each kind.

        Returns:
            list[str]: The count, what it is, and the first place.
        """
        return [
            f'{count} × {what}; the first in {first}'
            for what, (count, first) in self._found.items()
        ]

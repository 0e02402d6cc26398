"""The files of a folder, found by their names without the suffix."""

import os
import unicodedata
from collections.abc import Collection
from pathlib import Path

from nst_det.errors import UserError

# What OpenCV and Pillow both read; the content decides how a file is decoded, not its suffix.
IMAGE_SUFFIXES = frozenset(
    [
        *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.dib', '.webp', '.avif'),
        *('.gif', '.tif', '.tiff', '.jp2', '.j2k', '.pbm', '.pgm', '.ppm', '.pnm', '.pxm', '.pfm'),
        *('.sr', '.ras', '.exr', '.hdr', '.pic'),
    ]
)


class FilesByStem:
    """The files of a folder and its sub-folders, found by their names without the suffix.

    Upper and lower case count in names, but not in suffixes. An accented letter is the same
    whether it is written as one character or as two, as macOS does in names of files.

    Args:
        folder (str | Path): The folder. One that does not exist has no files.
        suffixes (Collection[str]): The suffixes of the wanted files in lower case, such as
            ``{'.xml'}``.
    """

    def __init__(self, folder: str | Path, suffixes: Collection[str]) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.suffixes = suffixes
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """Find a file.

        Args:
            name (str): Its name without the suffix, which may begin with sub-folders.

        Returns:
            str | None: Its path below the folder; None if there is none.

        Raises:
            UserError: If several files differ only in the suffix.
        """
        parent, stem = os.path.split(name)
        files = self._list(parent).get(unicodedata.normalize('NFC', stem), [])
        files = [file for file in files if os.path.splitext(file)[0] == stem] or files
        if len(files) > 1:
            raise UserError(
                f'{self.folder / parent} has {" and ".join(files)}: which of them is {name!r}? '
                'Keep one, or give them different names'
            )
        return os.path.join(parent, files[0]) if files else None

    def stems(self) -> list[str]:
        """List the names of all files, without the suffixes.

        Returns:
            list[str]: The sorted names, each with its sub-folders.
        """
        found: set[str] = set()
        for parent, folders, _ in os.walk(self.folder):
            folders[:] = [folder for folder in folders if not folder.startswith('.')]
            below = os.path.relpath(parent, self.folder)
            below = '' if below == '.' else below
            for files in self._list(below).values():
                found.update(os.path.join(below, os.path.splitext(file)[0]) for file in files)
        return sorted(found)

    def _list(self, parent: str) -> dict[str, list[str]]:
        """List a sub-folder once: the files of each stem."""
        if parent not in self._listings:
            listing: dict[str, list[str]] = {}
            try:
                files = sorted(os.listdir(self.folder / parent))
            except OSError:
                files = []
            for file in files:
                stem, suffix = os.path.splitext(file)
                if suffix.lower() in self.suffixes and not file.startswith('.'):
                    listing.setdefault(unicodedata.normalize('NFC', stem), []).append(file)
            self._listings[parent] = listing
        return self._listings[parent]

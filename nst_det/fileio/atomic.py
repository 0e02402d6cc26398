"""Writing a file so that it is on disk either completely or not at all."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | Path, content: bytes, shared: bool = False) -> None:
    """Write a file so that there is never an incomplete file under its name.

    The content is written to ``<name>.part``, synced, and renamed. If the process is killed, the
    disk is full or the power fails before that, the old file is still there.

    Args:
        path (str or Path): The file. A missing folder is made.
        content (bytes): Its content.
        shared (bool): Whether several processes may write the file at the same time: the name of
            each process's ``.part`` file is then unique. Defaults to False: the next try overwrites
            the ``.part`` file.

    Raises:
        OSError: If it cannot be written, with the name of the file. The old file is unchanged.
    """
    path = Path(path).resolve()  # a link stays a link
    part = path.with_name(f'{path.name}.{uuid.uuid4().hex}.part' if shared else f'{path.name}.part')
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(part, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # so that the new name, too, survives a power cut
    finally:
        os.close(folder)

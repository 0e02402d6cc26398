"""Files that are on disk either whole or not at all."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | Path, content: bytes, shared: bool = False) -> None:
    """Write a file such that whatever happens meanwhile, its name stands for a whole one.

    It is written beside, as ``<name>.part``, synced, and renamed: a process that is killed, a full
    disk or a power cut leaves what was there before.

    Args:
        path (str or Path): Where; its folder is made where it is missing.
        content (bytes): What the file will hold.
        shared (bool): Whether several processes may write it at once: each then writes beside
            under a name of its own. Defaults to False, a name that the next try reuses.

    Raises:
        OSError: Where it cannot be written, with the file's name. The old file is as it was.
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
        os.fsync(folder)  # so that the new name, too, outlives a power cut
    finally:
        os.close(folder)

"""Checkpoints that are complete on disk even if the training is killed or the disk is full.

The problem: mmengine 0.10 writes a file in place, over an older one of that name. A process that is
killed meanwhile leaves an incomplete file under the name of the checkpoint.

The answer: mmengine writes all files on a local disk, and so every checkpoint, with
:func:`nst_det.fileio.atomic.write_atomically`.

It can go when mmengine's ``LocalBackend`` writes to another name first and then renames the file.
"""

from pathlib import Path

from mmengine.fileio.backends import LocalBackend

from nst_det.fileio.atomic import write_atomically


def _put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
    write_atomically(filepath, obj)


def apply() -> None:
    """Let mmengine's local backend write complete files only."""
    LocalBackend.put = _put

"""Checkpoints that a killed training or a full disk cannot leave half-written.

The problem: mmengine 0.10 writes a file in place, over the old one where there is one, so that a
process killed meanwhile leaves a torso under the checkpoint's name.

The answer: what mmengine writes to a local disk goes through
:func:`nst_det.fileio.atomic.write_atomically`: every checkpoint does, whoever saves it.

It can go when mmengine's ``LocalBackend`` writes beside and renames.
"""

from pathlib import Path

from mmengine.fileio.backends import LocalBackend

from nst_det.fileio.atomic import write_atomically


def _put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
    write_atomically(filepath, obj)


def apply() -> None:
    """Let mmengine's local backend write whole files only."""
    LocalBackend.put = _put

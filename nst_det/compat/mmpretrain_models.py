"""mmpretrain beside transformers 5.

The problem: mmpretrain 1.2 imports its multimodal models if transformers is installed, and with
transformers 5 they raise a TypeError. mmdet, which imports mmpretrain's models if they are there,
fails with them, so that a detector cannot be trained either.

The answer: with transformers 5 or newer, mmpretrain leaves the multimodal models out, as it does
without transformers. Building one then fails with mmpretrain's own message.

It can go when mmpretrain's models can be imported with transformers 5.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


def _is_too_new() -> bool:
    try:
        return int(version('transformers').partition('.')[0]) >= 5
    except (PackageNotFoundError, ValueError):
        return False


def apply() -> None:
    """Leave the multimodal models out, unless they can be imported or are imported already."""
    if 'mmpretrain.models' in sys.modules or not find_spec('mmpretrain') or not _is_too_new():
        return
    try:
        from mmpretrain.utils import dependency
    except ImportError:  # a package that it needs is missing: mmdet goes on without mmpretrain
        return
    dependency.WITH_MULTIMODAL = False

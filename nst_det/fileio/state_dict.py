"""The weights in a checkpoint file, by name."""

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from nst_det.errors import UserError
from nst_det.fileio.checkpoint import first_sentence, local_file
from nst_det.fileio.weight_names import entries_under, part_with_weights, unwrapped, without_weights


def read_checkpoint(path: str, sha256: str | None = None) -> Any:
    """Read a checkpoint file onto the CPU. Nothing in it is run.

    Args:
        path (str): A local path, or any URL that mmengine reads.
        sha256 (str, optional): Its SHA-256, or at least the first 8 digits. Defaults to None, any.

    Returns:
        Any: The content, most often a dict with ``state_dict``.

    Raises:
        UserError: If there is no such file, its SHA-256 is another one, or it cannot be read
            without running something.
    """
    path = local_file(str(path), sha256)
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UserError:
        raise
    except Exception as error:  # a storage other than a disk or the web may raise anything
        raise UserError(
            f'{path} cannot be read as a checkpoint: {first_sentence(error)}'
        ) from error


def read_state_dict(
    path: str, sha256: str | None = None, prefix: str | None = None
) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file onto the CPU.

    Args:
        path (str): A local path, or any URL that mmengine reads.
        sha256 (str, optional): See :func:`read_checkpoint`. Defaults to None.
        prefix (str, optional): See :func:`find_state_dict`. Defaults to None.

    Returns:
        dict[str, Tensor]: The weights by key: see :func:`find_state_dict`.

    Raises:
        UserError: If there is no such file or it is not a checkpoint.
    """
    return find_state_dict(read_checkpoint(path, sha256), path, prefix)


def find_state_dict(checkpoint: Any, path: str, prefix: str | None = None) -> dict[str, Tensor]:
    """Find the weights in the content of a checkpoint.

    Args:
        checkpoint (Any): The content.
        path (str): The file, for the error.
        prefix (str, optional): Take only the keys that begin with it, and leave it out of them. It
            may begin with a part of the file, as ``'ema.module.'`` does. Defaults to None, all.

    Returns:
        dict[str, Tensor]: The weights by key, without what wrappers such as DDP write into it.

    Raises:
        UserError: If it holds none.
    """
    weights = part_with_weights(checkpoint)
    if not isinstance(weights, dict) or not any(isinstance(v, Tensor) for v in weights.values()):
        raise UserError(f'{path} is not a checkpoint: it holds no weights by name')
    if prefix is not None:
        weights = _under_prefix(checkpoint, weights, path, prefix)
    found = {}
    for key, value in weights.items():
        if not isinstance(key, str):
            raise UserError(
                f'{path} is not a checkpoint: it holds weights by a {type(key).__name__} in place '
                'of a name'
            )
        if _is_plain(value):
            found[unwrapped(key)] = value
        elif isinstance(value, Tensor) or without_weights(unwrapped(key)) is None:
            kind = value.type() if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f'{path} is not a checkpoint: among its weights {key!r:.80} is {kind}, expected '
                'plain tensors by name'
            )
    return found


def _under_prefix(checkpoint: Any, weights: dict, path: str, prefix: str) -> dict:
    """Select the entries whose keys begin with a prefix, and leave it out of them."""
    prefix = prefix if prefix.endswith('.') else f'{prefix}.'
    names = {unwrapped(key): value for key, value in weights.items() if isinstance(key, str)}
    for entries in (weights, names, checkpoint):
        found = entries_under(entries, prefix)
        if found:
            return found
    raise UserError(
        f'no weight in {path} begins with the prefix {prefix!r}: {first_parts(names)}', 'prefix'
    )


def first_parts(names: Iterable[str]) -> str:
    """Tell what the keys of a checkpoint begin with.

    Args:
        names (Iterable[str]): The keys.

    Returns:
        str: A clause such as ``"its keys begin with backbone., neck."``.
    """
    parts = sorted({name.split('.')[0] + '.' for name in names})
    return f'its keys begin with {", ".join(parts[:8])}'


def find_meta(checkpoint: Any) -> dict[str, Any]:
    """Find what a training noted about itself in a checkpoint, such as its epoch and classes.

    Args:
        checkpoint (Any): The content of the checkpoint.

    Returns:
        dict[str, Any]: Its ``meta``; empty if there is none.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    return meta if isinstance(meta, dict) else {}


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor with its own content, neither sparse nor quantized."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_nested
        and not value.is_meta
    )

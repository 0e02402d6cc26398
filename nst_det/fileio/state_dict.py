"""The weights in a checkpoint: reading them, and loading them into a model that they must fit."""

from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.fileio.checkpoint import first_sentence, local_file


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


def read_state_dict(path: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file onto the CPU.

    Args:
        path (str): A local path, or any URL that mmengine reads.
        sha256 (str, optional): See :func:`read_checkpoint`. Defaults to None.

    Returns:
        dict[str, Tensor]: The weights by key, without the prefix ``module.`` of a wrapper.

    Raises:
        UserError: If there is no such file or it is not a checkpoint.
    """
    return find_state_dict(read_checkpoint(path, sha256), path)


def find_state_dict(checkpoint: Any, path: str) -> dict[str, Tensor]:
    """Find the weights in the content of a checkpoint.

    Args:
        checkpoint (Any): The content.
        path (str): The file, for the error.

    Returns:
        dict[str, Tensor]: The weights by key, without the prefix ``module.`` of a wrapper.

    Raises:
        UserError: If it holds none.
    """
    weights = checkpoint
    if isinstance(checkpoint, dict):
        weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not any(isinstance(v, Tensor) for v in weights.values()):
        raise UserError(f'{path} is not a checkpoint: it holds no weights by name')
    for key, value in weights.items():
        if not isinstance(key, str):
            raise UserError(
                f'{path} is not a checkpoint: it holds weights by a {type(key).__name__} in place '
                'of a name'
            )
        if not _is_plain(value):
            kind = value.type() if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f'{path} is not a checkpoint: among its weights {key!r:.80} is {kind}, expected '
                'plain tensors by name'
            )
    return {key.removeprefix('module.'): value for key, value in weights.items()}


def find_meta(checkpoint: Any) -> dict[str, Any]:
    """Find what a training noted about itself in a checkpoint, such as its epoch and classes.

    Args:
        checkpoint (Any): The content of the checkpoint.

    Returns:
        dict[str, Any]: Its ``meta``; empty if there is none.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    return meta if isinstance(meta, dict) else {}


def load_strictly(
    model: nn.Module, path: str, role: str, sha256: str | None = None
) -> dict[str, Any]:
    """Load a checkpoint into a model that it must fit, in every key and every shape.

    A checkpoint of a distiller or a wrapper, which holds the model's weights under one prefix
    (``architecture.``, ``student.``, ``ema_model.module.``) beside others, fits as well.

    Args:
        model (nn.Module): The model.
        path (str): The checkpoint.
        role (str): What the model is to the user, such as ``'teacher'``, for the error.
        sha256 (str, optional): See :func:`read_checkpoint`. Defaults to None.

    Returns:
        dict[str, Any]: The checkpoint's ``meta``: see :func:`find_meta`.

    Raises:
        UserError: If the file is no checkpoint, or a key is missing, unexpected or of another
            shape: the error tells how many fit. The model is unchanged then.
    """
    checkpoint = read_checkpoint(path, sha256)
    weights = select_weights(model, find_state_dict(checkpoint, path), path, role)
    model.load_state_dict(weights, strict=False)
    print_log(f'All weights of the {role} loaded from {path}', 'current')
    return find_meta(checkpoint)


def select_weights(
    model: nn.Module, weights: dict[str, Tensor], path: str, role: str
) -> dict[str, Tensor]:
    """Select a model's weights among those of a checkpoint: see :func:`load_strictly`.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights of the checkpoint by key.
        path (str): The checkpoint, for the error.
        role (str): What the model is to the user, for the error.

    Returns:
        dict[str, Tensor]: The weights by the model's keys.

    Raises:
        UserError: If they do not fit the model, neither as they are nor under exactly one prefix.
    """
    found = weights_by_prefix(model, weights)
    if len(found) == 1:
        ((prefix, selected),) = found.items()
        print_log(
            f'{path}: the weights of the {role} are those under {prefix!r}, {len(selected)} of '
            f'the {len(weights)} in the file',
            'current',
        )
        return selected
    check_fit(model, weights, path, role)
    return weights


def weights_by_prefix(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Find complete sets of a model's weights under prefixes such as ``'student.'``.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights of a checkpoint by key.

    Returns:
        dict[str, dict[str, Tensor]]: The model's weights by prefix. Empty if there are none, or if
        they have no prefix.
    """
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    needed = [key for key in shapes if not _is_counter(key)]
    if not needed or needed[0] in weights:
        return {}
    found = {}
    for prefix in [key[: -len(needed[0])] for key in weights if key.endswith('.' + needed[0])]:
        own = {key: weights[prefix + key] for key in shapes if prefix + key in weights}
        if all(key in own for key in needed) and all(own[k].shape == shapes[k] for k in own):
            found[prefix] = own
    return found


def check_fit(model: nn.Module, weights: dict[str, Tensor], path: str, role: str) -> None:
    """Check that weights fit a model in every key and every shape.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights by key.
        path (str): The checkpoint that they are from, for the error.
        role (str): What the model is to the user, for the error.

    Raises:
        UserError: If they do not fit.
    """
    prefixes = [repr(prefix) for prefix in weights_by_prefix(model, weights)]
    if prefixes:
        raise UserError(
            f"checkpoint {path} holds the {role}'s weights under {' and '.join(prefixes)}: save "
            'the ones you mean in a file of their own, their keys without the prefix'
        )
    own = {key: value.shape for key, value in model.state_dict().items()}
    missing = [key for key in own if key not in weights and not _is_counter(key)]
    unexpected = [key for key in weights if key not in own]
    reshaped = [key for key in own if key in weights and weights[key].shape != own[key]]
    if missing or unexpected or reshaped:
        fit = sum(key in weights for key in own) - len(reshaped)
        faults = '; '.join(
            f'{len(keys)} {fault}, such as {keys[0]}'
            for keys, fault in [
                (missing, 'missing'),
                (unexpected, 'unexpected'),
                (reshaped, 'of another shape'),
            ]
            if keys
        )
        parts = ', '.join(sorted({key.split('.')[0] + '.' for key in unexpected})[:8])
        faults += '' if fit else f'; its keys begin with {parts}'
        raise UserError(
            f'checkpoint {path} is of another architecture than the {role} '
            f'({type(model).__name__}): {fit} of its {len(own)} keys fit ({faults}); '
            'give the config that the checkpoint was trained with'
        )


def count_fitting(model: nn.Module, weights: dict[str, Tensor]) -> tuple[int, int]:
    """Count the weights of a model that a checkpoint has in their shape.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights of the checkpoint by key.

    Returns:
        tuple[int, int]: How many fit, and how many the model has.
    """
    own = {k: value.shape for k, value in model.state_dict().items() if not _is_counter(k)}
    return sum(key in weights and weights[key].shape == own[key] for key in own), len(own)


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor with its own content, neither sparse nor quantized."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_nested
        and not value.is_meta
    )


def _is_counter(key: str) -> bool:
    """Whether it is the batch counter of a batch norm: no model needs it, and old files lack it."""
    return key.endswith('num_batches_tracked')

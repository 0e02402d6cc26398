"""Loading weights that have to fit, key by key."""

from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.fileio.checkpoint import local_file


def read_checkpoint(path: str, sha256: str | None = None) -> Any:
    """Read a checkpoint file, onto the CPU; nothing in it is run.

    Args:
        path (str): A local path or whatever URL mmengine reads.
        sha256 (str, optional): Its SHA-256, or at least the first 8 digits. Defaults to None, any.

    Returns:
        Any: What the file holds; most often a dict with ``state_dict``.

    Raises:
        UserError: Where there is no such file, it is another than its SHA-256 says, or it cannot be
            read without running something.
    """
    path = local_file(str(path), sha256)
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UserError:
        raise
    except Exception as error:  # whatever a storage other than a disk or the web may raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split('. ')[0]
        raise UserError(f'{path} cannot be read as a checkpoint: {reason}') from error


def read_state_dict(path: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Read the weights out of a checkpoint file, onto the CPU.

    Args:
        path (str): A local path or whatever URL mmengine reads.
        sha256 (str, optional): What :func:`read_checkpoint` takes. Defaults to None.

    Returns:
        dict[str, Tensor]: The weights by key, without a wrapper's ``module.`` prefix.

    Raises:
        UserError: Where there is no such file or it is not a checkpoint.
    """
    checkpoint = read_checkpoint(path, sha256)
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


def load_strictly(model: nn.Module, path: str, role: str, sha256: str | None = None) -> None:
    """Load a checkpoint into a model that it has to fit, key by key and shape by shape.

    A distiller's or a wrapper's checkpoint, which holds the model's weights under one prefix
    (``architecture.``, ``student.``, ``ema_model.module.``) beside others, fits as well.

    Args:
        model (nn.Module): The model.
        path (str): The checkpoint.
        role (str): What the model is to the user, such as ``'teacher'``, for the error.
        sha256 (str, optional): What :func:`read_checkpoint` takes. Defaults to None.

    Raises:
        UserError: Where the file is no checkpoint, or a key is missing, unexpected or of another
            shape; it says how many fit. The model is unchanged then.
    """
    model.load_state_dict(fitting_weights(model, path, role, sha256), strict=False)
    print_log(f'All weights of the {role} loaded from {path}', 'current')


def fitting_weights(
    model: nn.Module, path: str, role: str, sha256: str | None = None
) -> dict[str, Tensor]:
    """Read weights that are exactly a model's out of a checkpoint: see :func:`load_strictly`.

    Args:
        model (nn.Module): The model.
        path (str): The checkpoint.
        role (str): What the model is to the user, for the error.
        sha256 (str, optional): What :func:`read_checkpoint` takes. Defaults to None.

    Returns:
        dict[str, Tensor]: The weights by the model's keys.

    Raises:
        UserError: Where the file is no checkpoint, or holds no weights or no one set of them that
            are the model's.
    """
    weights = read_state_dict(path, sha256)
    found = weights_by_prefix(model, weights)
    if len(found) == 1:
        ((prefix, own),) = found.items()
        print_log(
            f"{path}: the {role}'s weights are those under '{prefix}', "
            f'{len(own)} of the {len(weights)} it holds',
            'current',
        )
        return own
    check_fit(model, weights, path, role)
    return weights


def weights_by_prefix(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Find complete sets of a model's weights under prefixes such as ``'student.'``.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights of a checkpoint by key.

    Returns:
        dict[str, dict[str, Tensor]]: The model's weights by prefix; empty where there are none, or
        where they are the model's without a prefix.
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
    """Check that weights are exactly a model's.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights by key.
        path (str): Where they come from, for the error.
        role (str): What the model is to the user, for the error.

    Raises:
        UserError: Where they are not.
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


def _is_plain(value: Any) -> bool:
    """Neither sparse nor quantized nor without content."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_nested
        and not value.is_meta
    )


def _is_counter(key: str) -> bool:
    """A batch norm's batch counter is of no use to a model that is trained; old files lack it."""
    return key.endswith('num_batches_tracked')

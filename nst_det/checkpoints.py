"""Loading weights that have to fit, key by key."""

from pathlib import Path

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from nst_det.errors import UserError


def read_state_dict(path: str) -> dict[str, Tensor]:
    """Read the weights out of a checkpoint file, onto the CPU.

    Args:
        path (str): A local path or whatever URL mmengine reads.

    Returns:
        dict[str, Tensor]: The weights by key, without a wrapper's ``module.`` prefix.

    Raises:
        UserError: Where there is no such file or it is not a checkpoint.
    """
    path = str(path)
    if '://' not in path and not Path(path).expanduser().is_file():
        raise UserError(f'checkpoint {Path(path).absolute()} does not exist (or is no file)')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:  # there is no end to what unpickling a file of another kind raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f'{path} cannot be read as a checkpoint: {reason}') from error
    weights = checkpoint
    if isinstance(checkpoint, dict):
        weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not any(isinstance(v, Tensor) for v in weights.values()):
        raise UserError(f'{path} is not a checkpoint: it holds no weights by name')
    return {key.removeprefix('module.'): value for key, value in weights.items()}


def load_exactly(model: nn.Module, path: str, role: str) -> None:
    """Load a checkpoint into a model that it has to fit, key by key and shape by shape.

    Args:
        model (nn.Module): The model.
        path (str): The checkpoint.
        role (str): What the model is to the user, such as ``'teacher'``, for the error.

    Raises:
        UserError: Where the file is no checkpoint, or a key is missing, unexpected or of another
            shape; it says how many fit. The model is unchanged then.
    """
    check_fit(model, read_state_dict(path), path, role, load=True)
    print_log(f'All weights of the {role} loaded from {path}', 'current')


def check_fit(
    model: nn.Module, weights: dict[str, Tensor], path: str, role: str, load: bool = False
) -> None:
    """Check that weights are exactly a model's.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): The weights by key.
        path (str): Where they come from, for the error.
        role (str): What the model is to the user, for the error.
        load (bool): Load them where they fit. Defaults to False.

    Raises:
        UserError: Where they are not.
    """
    own = {key: value.shape for key, value in model.state_dict().items()}
    # A batch norm's batch counter is of no use to a model that has been trained; old files lack it.
    missing = [k for k in own if k not in weights and not k.endswith('num_batches_tracked')]
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
        raise UserError(
            f'checkpoint {path} is of another architecture than the {role} '
            f'({type(model).__name__}): {fit} of its {len(own)} keys fit ({faults}); '
            'give the config that the checkpoint was trained with'
        )
    if load:
        model.load_state_dict(weights, strict=False)

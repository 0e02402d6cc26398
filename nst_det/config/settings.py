"""The settings that mmengine's Runner reads out of a config, and changes to them."""

import inspect
import typing

from mmengine.config import Config
from mmengine.runner import Runner

from nst_det.errors import UserError, nearest

RUNNER_KEYS = (
    *(
        name
        for name in inspect.signature(Runner.__init__).parameters
        if name not in ('self', 'cfg')
    ),
    # What mmengine and mmdet read besides.
    *('activation_checkpointing', 'auto_scale_lr', 'compile', 'custom_imports'),
    *('efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'runner_type'),
    *('sync_bn', 'tta_model', 'tta_pipeline'),
)


def change(cfg: Config, options: dict) -> None:
    """Make the changes that ``--cfg-options`` asks for.

    Args:
        cfg (Config): The config.
        options (dict): The new values by dotted key.

    Raises:
        UserError: Where a key is none that is read, or does not fit the config.
    """
    for key in options if 'runner_type' not in cfg else ():
        name = key.split('.')[0]
        if name in RUNNER_KEYS:
            continue
        if name in cfg:
            raise UserError(
                f"--cfg-options {key}: '{name}' is a name that the config file uses while it is "
                'read; change what it stands for, such as model.transfers.0.loss.loss_weight, or '
                'write a config that inherits this one'
            )
        raise UserError(
            f"--cfg-options {key}: the config has no '{name}': {nearest(name, RUNNER_KEYS)}"
        )
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'--cfg-options do not fit the config: {" ".join(str(error).split())}'
        ) from error


def check_kinds(cfg: Config) -> None:
    """Check that what mmengine's Runner takes out of a config is of the kinds that it declares.

    Args:
        cfg (Config): The whole config.

    Raises:
        UserError: Where there is no model, or an option is of another kind.
    """
    if 'model' not in cfg:
        raise UserError('the config has no model: give the config of a detector and its training')
    for name, one in inspect.signature(Runner.__init__).parameters.items():
        if name not in RUNNER_KEYS or name not in cfg or cfg[name] == one.default:
            continue
        declared = one.annotation
        declared = typing.get_args(declared) if _is_union(declared) else (declared,)
        kinds = [typing.get_origin(kind) or kind for kind in declared]
        if not isinstance(cfg[name], (*kinds, *[tuple] * (list in kinds))):
            plain = [kind.__name__ for kind in kinds if kind in (str, bool, dict, list)]
            raise UserError(f'{name} is {cfg[name]!r:.80}, expected a {" or a ".join(plain)}')


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) is typing.Union

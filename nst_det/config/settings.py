"""The settings that mmengine's Runner reads out of a config, and changes to them."""

import argparse
import inspect
import typing
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from nst_det.errors import UserError, nearest, one_line

RUNNER_KEYS = (
    *(
        name
        for name in inspect.signature(Runner.__init__).parameters
        if name not in ('self', 'cfg')
    ),
    # mmengine and mmdet read these as well.
    *('activation_checkpointing', 'auto_scale_lr', 'compile', 'custom_imports'),
    *('efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'runner_type'),
    *('sync_bn', 'tta_model', 'tta_pipeline'),
    'load_from_prefix',  # nst_det reads it
)


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """Read the values of ``--cfg-options``, by the rules of mmengine's ``DictAction``.

    Args:
        assignments (Sequence[str]): The texts, such as ``'optim_wrapper.optimizer.lr=0.01'``.

    Returns:
        dict[str, Any]: The values by dotted key.

    Raises:
        UserError: If the brackets of a value do not match.
    """
    options = argparse.Namespace()
    try:
        DictAction('--cfg-options', 'changes')(argparse.ArgumentParser(), options, assignments)
    except AssertionError as error:
        raise UserError(f'--cfg-options: {one_line(error, with_type=False)}') from error
    return options.changes


def change(cfg: Config, assignments: Sequence[str]) -> None:
    """Make the changes that ``--cfg-options`` asks for.

    Args:
        cfg (Config): The config.
        assignments (Sequence[str]): The texts ``'key=value'``, see :func:`parse_changes`.

    Raises:
        UserError: If nothing reads a key, or a key or value does not fit the config.
    """
    options = parse_changes(assignments)
    for key in options if 'runner_type' not in cfg else ():
        name = key.split('.')[0]
        if name in RUNNER_KEYS:
            continue
        if name in cfg:
            raise UserError(
                f"--cfg-options {key}: '{name}' is a variable that only the config file reads; "
                'change the settings that are made of it, such as '
                'model.transfers.0.loss.loss_weight, or write a config that inherits this one',
                option=key,
            )
        raise UserError(
            f"--cfg-options {key}: the config has no '{name}': {nearest(name, RUNNER_KEYS)}",
            option=key,
        )
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'--cfg-options do not fit the config: {one_line(error, with_type=False)}'
        ) from error


def check_kinds(cfg: Config) -> None:
    """Check that the settings for mmengine's Runner are of the types that it declares.

    Args:
        cfg (Config): The complete config.

    Raises:
        UserError: If there is no model, or a setting is of another type.
    """
    if 'model' not in cfg:
        raise UserError('the config has no model: give the config of a detector and its training')
    for name, parameter in inspect.signature(Runner.__init__).parameters.items():
        if name not in RUNNER_KEYS or name not in cfg or cfg[name] == parameter.default:
            continue
        if name == 'default_scope' and cfg[name] is None:  # in the pure Python configs of mmdet
            continue
        declared = parameter.annotation
        declared = typing.get_args(declared) if _is_union(declared) else (declared,)
        kinds = [typing.get_origin(kind) or kind for kind in declared]
        accepted = (*kinds, tuple) if list in kinds else tuple(kinds)
        if not isinstance(cfg[name], accepted):
            names = [kind.__name__ for kind in kinds if kind in (str, bool, dict, list)]
            raise UserError(
                f'{name} is {cfg[name]!r:.80}, expected a {" or a ".join(names)}', option=name
            )


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) is typing.Union

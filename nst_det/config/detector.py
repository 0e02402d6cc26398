"""The detector that a config, a path or a model dict names."""

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from nst_det.config.load import load_config
from nst_det.errors import UserError

DISTILLER = 'NSTDistiller'


def is_distiller(cfg: Any) -> bool:
    """Tell whether the model of a config is an ``NSTDistiller``.

    Args:
        cfg (Any): A model dict or a complete config. Its ``type`` may be a name, a name with a
            scope such as ``'mmdet.NSTDistiller'``, or a class.

    Returns:
        bool: Whether it is. False for anything that is no config.
    """
    model = cfg.get('model', cfg) if isinstance(cfg, (dict, Config)) else None
    kind = model.get('type') if isinstance(model, (dict, Config)) else None
    if isinstance(kind, type):
        return DISTILLER in (base.__name__ for base in kind.__mro__)
    return isinstance(kind, str) and kind.rpartition('.')[2] == DISTILLER


def detector_config(config: str | dict | Config) -> ConfigDict:
    """Find the detector in any form in which a user names a teacher.

    Args:
        config (str, dict or Config): A path, ``'mmdet::…'``, a complete config, or a model dict.

    Returns:
        ConfigDict: A copy of the model dict. If the model is a distiller, that of its student.

    Raises:
        UserError: If there is no detector.
    """
    if isinstance(config, str):
        config = load_config(config)
    outermost = config if isinstance(config, (dict, Config)) else {}
    model = outermost.get('model', outermost)
    outer = [outermost]
    while is_distiller(model):
        outer.append(model)
        model = model.get('student')
    if not isinstance(model, dict) or 'type' not in model:
        raise UserError(
            f'teacher.config is {config!r:.80}, expected the path of a config, '
            "'mmdet::…' or a model dict with a type",
            'teacher.config',
        )
    for owner in reversed(outer):  # a detector without a preprocessor takes the innermost one
        if owner.get('data_preprocessor') is not None:
            model = {'data_preprocessor': owner['data_preprocessor'], **model}
    return ConfigDict(copy.deepcopy(model))  # building some detectors changes their config


def teacher_options(model: Mapping[str, Any]) -> list[dict]:
    """List the teachers of a distiller's config, which may have one or several.

    Args:
        model (Mapping[str, Any]): The model dict.

    Returns:
        list[dict]: The options of each teacher; empty for a plain detector.
    """
    teachers = model.get('teacher') or []
    return list(teachers) if isinstance(teachers, (list, tuple)) else [teachers]

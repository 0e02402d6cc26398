"""Checks of the ``teacher`` option, made before anything is loaded."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

from nst_det.config.options import check_keys, within
from nst_det.config.validators import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_path,
    wrong_value,
)
from nst_det.errors import UserError
from nst_det.fileio.download import check_spelling
from nst_det.models.distillers.teacher.bare_backbone import brings_weights, teacher_model
from nst_det.models.distillers.teacher.precision import PRECISIONS
from nst_det.models.distillers.teacher.teacher import RANDOM, Teacher

MAX_SCALE = 8  # a larger number is a typing error, and its images would fill the memory


def named_teachers(teachers: Any) -> dict[str, dict]:
    """Read the ``teacher`` option of a distiller: one teacher, or several with names.

    Args:
        teachers (dict or Sequence[dict]): The options of one teacher, with or without a ``name``;
            or of several, each with a ``name`` of its own.

    Returns:
        dict[str, dict]: The checked options, without the name, by the name; a single teacher
        without a name has the name ''.

    Raises:
        UserError: If an option of a teacher is wrong, or its name is missing or taken.
    """
    is_list = isinstance(teachers, (list, tuple))
    if is_list and not teachers:
        raise wrong_value('teacher', teachers, 'dict(config=…, checkpoint=…), or a list of such')
    named: dict[str, dict] = {}
    listed = teachers if is_list else [teachers]
    for i, cfg in enumerate(listed):
        where = f'teacher[{i}]' if is_list else 'teacher'
        options = dict(cfg) if isinstance(cfg, dict) else cfg
        name = options.pop('name', None) if isinstance(options, dict) else None
        with _renamed(where):
            check_teacher(options)
        if name is None and len(listed) == 1:
            return {'': options}
        if not (isinstance(name, str) and re.fullmatch(r'\w+', name)) or name in named:
            expected = 'a name of letters and digits for the transfers, of this teacher alone'
            raise wrong_value(f'{where}.name', name, expected)
        named[name] = options
    return named


@contextmanager
def _renamed(where: str) -> Iterator[None]:
    """Let the errors about ``teacher`` in a block be about one of several."""
    try:
        yield
    except UserError as error:
        message = str(error)
        if message.startswith('teacher'):
            message = where + message.removeprefix('teacher')
        option = (error.option or 'teacher').removeprefix('teacher')
        raise UserError(message, where + option) from error


def check_teacher(cfg: dict) -> None:
    """Check the ``teacher`` option of a distiller before anything is loaded.

    Args:
        cfg (dict): The option.

    Raises:
        UserError: If the config or the checkpoint is missing, or an option is unknown or wrong.
    """
    if not isinstance(cfg, dict):
        raise wrong_value('teacher', cfg, 'dict(config=…, checkpoint=…)')
    check_keys(cfg, list(signature(Teacher).parameters), 'teacher')
    if not isinstance(cfg.get('config'), str) or cfg.get('backbone') is not None:
        teacher_model(cfg)
    _check_weights(cfg)
    if cfg.get('prefix') is not None and not isinstance(cfg['prefix'], str):
        raise wrong_value('teacher.prefix', cfg['prefix'], "a text such as 'teacher.', or None")
    if cfg.get('sha256') is not None:
        with within('teacher.sha256'):
            check_spelling(cfg['sha256'])
    check_number('teacher.scale', cfg.get('scale', 1), 1 / MAX_SCALE, MAX_SCALE)
    _check_speed(cfg)


def _check_weights(cfg: dict) -> None:
    """Check that the option names the teacher's weights, once."""
    backbone = cfg.get('backbone') or {}
    if not cfg.get('checkpoint') and not brings_weights(backbone):
        inside = ', in the backbone or here' if backbone else ''
        raise UserError(
            'teacher has no checkpoint, and an untrained teacher has nothing to teach: give the '
            f"path or URL of its weights{inside}, or checkpoint='{RANDOM}' for an untrained "
            'teacher',
            'teacher.checkpoint',
        )
    if cfg.get('checkpoint'):
        check_path('teacher.checkpoint', cfg['checkpoint'], 'a path or URL')
        if brings_weights(backbone):
            raise UserError(
                f'teacher.checkpoint is {cfg["checkpoint"]!r}, but teacher.backbone names weights '
                'too: leave one of them out',
                'teacher.checkpoint',
            )
    if cfg.get('data_preprocessor') is not None and not backbone:
        raise UserError(
            'teacher.data_preprocessor is for teacher.backbone: a detector has its own in its '
            'config',
            'teacher.data_preprocessor',
        )


def _check_speed(cfg: dict) -> None:
    """Check the options that decide how fast a teacher runs."""
    check_flag('teacher.fuse', cfg.get('fuse', True))
    check_flag('teacher.compile', cfg.get('compile', False))
    check_integer('teacher.compile_shapes', cfg.get('compile_shapes', 1), minimum=1)
    check_choice('teacher.channels_last', cfg.get('channels_last'), (True, False, None))
    check_choice('teacher.precision', cfg.get('precision'), (*PRECISIONS, None))
    if cfg.get('cache') is not None:
        check_path('teacher.cache', cfg['cache'], 'a folder')
    precisions = (*PRECISIONS, None)
    check_choice('teacher.cache_precision', cfg.get('cache_precision'), precisions)
    check_number('teacher.cache_gib', cfg.get('cache_gib', 1), above=0)

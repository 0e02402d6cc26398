"""Checking the options of a teacher before anything is loaded."""

import math
from inspect import signature
from os import PathLike

from nst_det.config.detector import detector_config
from nst_det.config.options import OptionError, check_keys, within
from nst_det.fileio.download import check_spelling
from nst_det.models.distillers.teacher.precision import PRECISIONS
from nst_det.models.distillers.teacher.teacher import RANDOM, Teacher


def check_teacher(cfg: dict) -> None:
    """Check the ``teacher`` option of a distiller before anything is loaded.

    Raises:
        UserError: Where it has no config or no checkpoint, or a key that nothing reads.
    """
    if not isinstance(cfg, dict):
        raise OptionError(f'teacher is {cfg!r:.80}, expected dict(config=…, checkpoint=…)')
    check_keys(cfg, list(signature(Teacher).parameters), 'teacher')
    if 'config' not in cfg:
        raise OptionError('teacher has no config: give a path, an mmdet::… name or a model dict')
    if not isinstance(cfg['config'], str):
        detector_config(cfg['config'])
    checkpoint = cfg.get('checkpoint')
    if not checkpoint:
        raise OptionError(
            'teacher has no checkpoint, and an untrained teacher teaches nothing: give the path or '
            f"URL of its weights, or checkpoint='{RANDOM}' if that is what you want"
        )
    if not isinstance(checkpoint, (str, PathLike)):
        raise OptionError(f'teacher.checkpoint is {checkpoint!r:.80}, expected a path or URL')
    if cfg.get('sha256') is not None:
        with within('teacher.sha256'):
            check_spelling(cfg['sha256'])
    _check_speed(cfg)


def _check_speed(cfg: dict) -> None:
    """Check the options that decide how fast a teacher runs."""
    for option, values in dict(
        fuse=(True, False),
        channels_last=(True, False, None),
        precision=(*PRECISIONS, None),
        own_stream=(True, False),
    ).items():
        value = cfg.get(option, values[0])
        if not any(value is one or (isinstance(value, str) and value == one) for one in values):
            *others, last = map(repr, values)
            raise OptionError(
                f'teacher.{option} is {value!r:.80}, expected {", ".join(others)} or {last}'
            )
    cache, limit = cfg.get('cache'), cfg.get('cache_gib', 1)
    if cache is not None and not (isinstance(cache, (str, PathLike)) and str(cache)):
        raise OptionError(f'teacher.cache is {cache!r:.80}, expected a folder')
    is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
    if not (is_number and 0 < limit < math.inf):
        raise OptionError(f'teacher.cache_gib is {limit!r:.80}, expected a number above 0')

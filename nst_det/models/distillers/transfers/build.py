"""Building the transfers that a config lists."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from nst_det.config.options import build_part, check_keys, within
from nst_det.config.validators import check_number, wrong_value
from nst_det.errors import UserError
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.transfers.base import Transfer
from nst_det.models.distillers.transfers.cross_head_transfer import CrossHeadTransfer
from nst_det.models.distillers.transfers.distribution_transfer import DistributionTransfer
from nst_det.models.distillers.transfers.feature_transfer import FeatureTransfer
from nst_det.models.distillers.transfers.logit_transfer import LogitTransfer
from nst_det.models.distillers.transfers.query_transfer import QueryTransfer
from nst_det.models.losses import TransferLoss

LAYER_KEYS = ('layer', 'student_layer', 'teacher_layer')
PREDICTIONS: dict[str, Any] = dict(
    logits=LogitTransfer,
    distributions=DistributionTransfer,
    queries=QueryTransfer,
    **{'cross-head': CrossHeadTransfer},
)
FEATURE_KEYS = (*LAYER_KEYS, 'foreground')


def build_transfers(cfgs: Sequence[dict], teachers: Collection[str] = ('',)) -> list[Transfer]:
    """Build the transfers of a distiller's config.

    Args:
        cfgs (Sequence[dict]): Each with ``loss`` and ``layer`` (or ``student_layer`` and
            ``teacher_layer``), and ``foreground`` on request; without these if the loss compares
            logits. Each names its ``teacher`` if there are several.
        teachers (Collection[str]): The names of the teachers. Defaults to a single one, ''.

    Raises:
        UserError: If a key is missing, unknown or has a wrong value.
    """
    if not isinstance(cfgs, (list, tuple)):
        raise UserError(
            f'transfers is a {type(cfgs).__name__}, expected a list of dicts', 'transfers'
        )
    transfers: list[Transfer] = []
    for i, cfg in enumerate(cfgs):
        names = [transfer.name for transfer in transfers]
        transfers.append(_build_transfer(cfg, f'transfers[{i}]', names, teachers))
    unused = {*teachers} - {transfer.teacher for transfer in transfers}
    if unused and len(teachers) > 1:
        raise UserError(
            f"the teacher '{min(unused)}' is named by no transfer: name it in one, or leave it out",
            'teacher',
        )
    return transfers


def layer_options(cfgs: Sequence[dict], role: str) -> list[str]:
    """Name the options that say what the transfers read, for errors.

    Args:
        cfgs (Sequence[dict]): The configs of the transfers.
        role (str): ``'student'`` or ``'teacher'``.

    Returns:
        list[str]: One for each transfer, such as ``'transfers[0].layer'``.
    """
    options = []
    for i, cfg in enumerate(cfgs):
        keys = [key for key in ('layer', f'{role}_layer') if key in cfg]
        options.append(f'transfers[{i}].{keys[0] if keys else "loss"}')
    return options


def _build_transfer(
    cfg: dict, where: str, names: Sequence[str], teachers: Collection[str]
) -> Transfer:
    """Build one transfer whose name differs from the given ones."""
    if not isinstance(cfg, dict):
        raise UserError(f'{where} is {cfg!r:.80}, expected a dict(layer=…, loss=…)', where)
    check_keys(cfg, [*FEATURE_KEYS, 'teacher', 'loss'], where)
    if 'loss' not in cfg:
        raise UserError(
            f"{where} has no loss: give one, such as loss=dict(type='NSTLoss')", f'{where}.loss'
        )
    with within(where):
        loss = build_part(cfg['loss'], TransferLoss, 'loss')
    teacher = _choose_teacher(cfg, where, teachers)
    suffix = f'_{teacher}' if len(teachers) > 1 else ''
    transfer: Transfer
    if loss.compares != 'features':
        _refuse_layers(cfg, loss, where)
        name = _unique(f'loss_{loss.method}{suffix}', names)
        transfer = PREDICTIONS[loss.compares](loss, name)
    else:
        student_tap, teacher_tap = (_build_tap(cfg, role, where) for role in ('student', 'teacher'))
        layer = re.sub(r'\W+', '_', student_tap.layer).strip('_')
        name = _unique(f'loss_{loss.method}_{layer}{suffix}', names)
        margin = _foreground_margin(cfg.get('foreground', False), f'{where}.foreground')
        transfer = FeatureTransfer(student_tap, teacher_tap, loss, name, margin)
    transfer.teacher = teacher
    return transfer


def _choose_teacher(cfg: dict, where: str, teachers: Collection[str]) -> str:
    """The name of a transfer's teacher, which may be left out if there is only one."""
    if 'teacher' not in cfg and len(teachers) == 1:
        return next(iter(teachers))
    name = cfg.get('teacher')
    if name in teachers and name:
        return name
    if '' in teachers:
        raise UserError(
            f'{where}.teacher is {name!r:.80}, but there is one teacher without a name: leave the '
            'option out, or give several teachers as a list, each with a name',
            f'{where}.teacher',
        )
    known = ', '.join(f"'{teacher}'" for teacher in teachers)
    found = f'{where}.teacher is {name!r:.80}' if 'teacher' in cfg else f'{where} has no teacher'
    raise UserError(f'{found}: name one of {known}', f'{where}.teacher')


def _refuse_layers(cfg: dict, loss: TransferLoss, where: str) -> None:
    for key in FEATURE_KEYS:
        if key in cfg:
            raise UserError(
                f'{where} has the option {key}, but {type(loss).__name__} compares predictions '
                'and reads no layer: leave the option out',
                f'{where}.{key}',
            )


def _build_tap(cfg: dict, role: str, where: str) -> Tap:
    keys = [key for key in ('layer', f'{role}_layer') if key in cfg]
    if len(keys) != 1:
        found = f'both layer and {role}_layer' if keys else f'neither layer nor {role}_layer'
        raise UserError(
            f'{where} has {found}: give layer, or student_layer and teacher_layer',
            f'{where}.{role}_layer',
        )
    (key,) = keys
    try:
        return Tap(cfg[key])
    except UserError as error:
        message = str(error).removeprefix('layer')
        raise UserError(f'{where}.{key}{message}', f'{where}.{key}') from error


def _foreground_margin(foreground: Any, option: str) -> float | None:
    """The margin around the objects in pixels, None if the background counts as well."""
    if isinstance(foreground, dict):
        check_keys(foreground, ['margin'], option)
        return check_number(f'{option}.margin', foreground.get('margin', 0.0), minimum=0)
    if not isinstance(foreground, bool):
        raise wrong_value(option, foreground, 'True, False or dict(margin=…) in pixels')
    return 0.0 if foreground else None


def _unique(name: str, taken: Sequence[str]) -> str:
    return f'{name}_{len(taken)}' if name in taken else name

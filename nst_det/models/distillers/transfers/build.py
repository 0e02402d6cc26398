"""Building the transfers that a config lists."""

import re

from nst_det.config.options import OptionError, build_part, check_keys, within
from nst_det.errors import UserError
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.transfers.base import Transfer
from nst_det.models.distillers.transfers.feature_transfer import FeatureTransfer
from nst_det.models.distillers.transfers.logit_transfer import LogitTransfer
from nst_det.models.losses import TransferLoss

KEYS = ('layer', 'student_layer', 'teacher_layer', 'loss')


def build_transfers(cfgs: list[dict]) -> list[Transfer]:
    """Build the transfers of a distiller's config.

    Args:
        cfgs (list[dict]): Each with ``loss`` and, but for ``KDLoss``, ``layer`` (or
            ``student_layer`` and ``teacher_layer``).

    Raises:
        UserError: Where a key is missing, unknown or wrong; it names the option's place.
    """
    if isinstance(cfgs, dict) or not isinstance(cfgs, (list, tuple)):
        raise OptionError(f'transfers is a {type(cfgs).__name__}, expected a list of dicts')
    transfers: list[Transfer] = []
    for i, cfg in enumerate(cfgs):
        if not isinstance(cfg, dict):
            raise OptionError(f'transfers[{i}] is {cfg!r:.80}, expected a dict(layer=…, loss=…)')
        check_keys(cfg, list(KEYS), f'transfers[{i}]')
        if 'loss' not in cfg:
            raise OptionError(
                f"transfers[{i}] has no loss: give one, such as loss=dict(type='NSTLoss')"
            )
        with within(f'transfers[{i}]'):
            loss = build_part(cfg['loss'], TransferLoss, 'loss')
        taken = [other.name for other in transfers]
        if loss.compares == 'logits':
            transfers.append(_class_transfer(cfg, loss, taken, f'transfers[{i}]'))
        else:
            taps = [_tap(cfg, role, f'transfers[{i}]') for role in ('student', 'teacher')]
            layer = re.sub(r'\W+', '_', taps[0].layer).strip('_')
            name = _free(f'loss_{loss.method}_{layer}', taken)
            transfers.append(FeatureTransfer(taps[0], taps[1], loss, name))
    return transfers


def places(cfgs: list[dict], role: str) -> list[str]:
    """Name the options that say what is tapped, for errors.

    Args:
        cfgs (list[dict]): The transfers' configs.
        role (str): ``'student'`` or ``'teacher'``.

    Returns:
        list[str]: One per transfer, such as ``'transfers[0].layer'``.
    """
    return [
        f'transfers[{i}].{next((key for key in ("layer", f"{role}_layer") if key in cfg), "loss")}'
        for i, cfg in enumerate(cfgs)
    ]


def _class_transfer(cfg: dict, loss: TransferLoss, taken: list[str], where: str) -> LogitTransfer:
    for key in KEYS[:3]:
        if key in cfg:
            raise OptionError(
                f'{where} gives KDLoss the option {key}: it compares class scores and taps no '
                'layer, leave it out'
            )
    return LogitTransfer(loss, _free(f'loss_{loss.method}', taken))


def _tap(cfg: dict, role: str, where: str) -> Tap:
    given = [key for key in ('layer', f'{role}_layer') if key in cfg]
    if len(given) != 1:
        raise OptionError(
            f'{where} says {"both " if given else "neither "}layer'
            f'{" and" if given else " nor"} {role}_layer: give layer, or student_layer '
            'and teacher_layer'
        )
    try:
        return Tap(cfg[given[0]])
    except UserError as error:
        raise OptionError(f'{where}.{given[0]}{str(error).removeprefix("layer")}') from error


def _free(name: str, taken: list[str]) -> str:
    return f'{name}_{len(taken)}' if name in taken else name

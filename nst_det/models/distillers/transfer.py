"""A transfer: one loss between one map of the student's and one of the teacher's."""

import math
import re
from dataclasses import dataclass

from torch import Tensor

from nst_det.building import build_part, check_keys
from nst_det.errors import UserError
from nst_det.models.distillers.tap import Tap
from nst_det.models.losses import NSTLoss


@dataclass
class Transfer:
    """What is transferred, from where to where.

    Args:
        student_tap (Tap): Where the student learns.
        teacher_tap (Tap): What it learns from.
        loss (NSTLoss): Takes the student's and the teacher's map and the mask of the positions that
            count, gives a scalar.
        name (str): The loss's key among the student's losses; begins with ``loss_``.
        factor (float): What a schedule makes of the loss's weight. Defaults to 1.0.
    """

    student_tap: Tap
    teacher_tap: Tap
    loss: NSTLoss
    name: str
    factor: float = 1.0

    @property
    def weight(self) -> float:
        """float: The weight λ of this moment."""
        return self.loss.loss_weight * self.factor

    @property
    def active(self) -> bool:
        """bool: Whether its weight is not 0."""
        return self.weight != 0

    @property
    def label(self) -> str:
        """str: What the log calls it; without 'loss', which would add a value to the total."""
        return self.name.removeprefix('loss_nst_').replace('loss', 'Loss')

    def mmd2(self, loss: Tensor) -> Tensor:
        """MMD² without the weight, out of the weighted loss.

        Args:
            loss (Tensor): The transfer's loss, a scalar.

        Returns:
            Tensor: The mean over the images of MMD², a scalar without gradient; ``nan`` where the
            weight is 0, for nothing was measured then.
        """
        return loss.detach() * (2 / self.weight if self.active else math.nan)


def build_transfers(cfgs: list[dict]) -> list[Transfer]:
    """Build the transfers of a distiller's config.

    Args:
        cfgs (list[dict]): Each with ``layer`` (or ``student_layer`` and ``teacher_layer``) and
            ``loss``.

    Raises:
        UserError: Where a key is missing, unknown or wrong; it names the option's place.
    """
    if isinstance(cfgs, dict) or not isinstance(cfgs, (list, tuple)):
        raise UserError(f'transfers is a {type(cfgs).__name__}, expected a list of dicts')
    transfers: list[Transfer] = []
    for i, cfg in enumerate(cfgs):
        where = f'transfers[{i}]'
        if not isinstance(cfg, dict):
            raise UserError(f'{where} is {cfg!r}, expected a dict(layer=…, loss=…)')
        check_keys(cfg, ['layer', 'student_layer', 'teacher_layer', 'loss'], where)
        taps = []
        for role in ('student', 'teacher'):
            given = [key for key in ('layer', f'{role}_layer') if key in cfg]
            if len(given) != 1:
                raise UserError(
                    f'{where} says {"both " if given else "neither "}layer'
                    f'{" and" if given else " nor"} {role}_layer: give layer, or student_layer '
                    'and teacher_layer'
                )
            taps.append(Tap(cfg[given[0]]))
        if 'loss' not in cfg:
            raise UserError(f"{where} has no loss: give one, such as loss=dict(type='NSTLoss')")
        name = 'loss_nst_' + re.sub(r'\W+', '_', taps[0].layer).strip('_')
        taken = [other.name for other in transfers]
        if name in taken:
            name = f'{name}_{i}'
        transfers.append(Transfer(*taps, build_part(cfg['loss'], NSTLoss, 'loss'), name))
    return transfers

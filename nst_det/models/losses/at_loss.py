"""The loss of attention transfer."""

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_choice
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.match_features import match_features
from nst_det.models.losses.positions import count_positions

MODES = ('paper', 'code')


def attention_pattern(feature_map: Tensor) -> Tensor:
    """Compute where a layer attends: its squared activations summed over the channels, normalised.

    Source: Zagoruyko & Komodakis 2017, https://arxiv.org/abs/1612.03928, section 3.1: F²_sum and
    Q / ‖Q‖₂.

    Args:
        feature_map (Tensor): `(N, C, H, W)`.

    Returns:
        Tensor: A unit vector for each image, `(N, H·W)`; zero, and without gradient, if the whole
        feature map is zero.
    """
    # The activations are scaled first: the fourth powers in the norm could overflow or vanish. The
    # scale has no effect on Q / ‖Q‖.
    peak = feature_map.detach().abs().amax((1, 2, 3), keepdim=True)
    alive = peak > 0
    scaled = feature_map / torch.where(alive, peak, torch.ones_like(peak))
    energy = scaled.square().sum(1).flatten(1)
    norm = energy.square().sum(1, keepdim=True)
    alive = alive.flatten(1)
    return torch.where(alive, energy * torch.where(alive, norm, torch.ones_like(norm)).rsqrt(), 0.0)


def attention_distance(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None, mode: str = 'paper'
) -> Tensor:
    """Compute the distance between the attention of two feature maps.

    With Q_S and Q_T the :func:`attention_pattern` of the two feature maps, the paper and its
    authors' code differ:

    - ``'paper'``: ‖Q_S − Q_T‖₂ (Zagoruyko & Komodakis 2017, section 3.1, with p = 2);
    - ``'code'``: the mean over the positions of (Q_S − Q_T)².

    Args:
        student (Tensor): The student's feature map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's feature map, `(N, C_T, H', W')`; interpolated to H × W if
            its size differs.
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to None.
        mode (str): ``'paper'`` or ``'code'``. Defaults to ``'paper'``.

    Returns:
        Tensor: The distance of each image, `(N,)`.
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = match_features(student, teacher, mask)
        return _distance(student, teacher, mask, mode)


def _distance(student: Tensor, teacher: Tensor, mask: Tensor | None, mode: str) -> Tensor:
    squared = (attention_pattern(student) - attention_pattern(teacher)).square()
    total = squared.sum(1)
    if mode == 'code':
        return total / count_positions(student, mask)
    # The gradient of the root is infinite at 0, where there is nothing to learn.
    apart = total > 0
    return torch.where(apart, torch.where(apart, total, torch.ones_like(total)).sqrt(), 0.0)


@MODELS.register_module()
class ATLoss(FeatureLoss):
    r"""Activation-based attention transfer, `Paying More Attention to Attention
    <https://arxiv.org/abs/1612.03928>`_ (Zagoruyko & Komodakis 2017).

    .. math:: L = \frac{β}{2} \cdot \frac{1}{N} \sum_n ‖Q_S^n − Q_T^n‖_2

    The authors' code squares the differences and takes their mean over the positions, without the
    ½: ``mode='code'``. That value is about H·W times smaller, so each mode needs its own β.

    The channel counts of teacher and student may differ; no connector is needed.

    Args:
        loss_weight (float, str or dict): β, at least 0, or ``'auto'``. Defaults to 1000.0, the
            paper's value for ``'code'``; for ``'paper'``, values from 1 to 10 are on the scale of a
            detector's losses.
        mode (str): ``'paper'`` (section 3.1) or ``'code'`` (what its authors published).
            Defaults to ``'code'``.
        connector (dict or Connector, optional): Converts the student's feature map first, such as
            ``dict(type='ConvConnector')``. Defaults to None.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'at'
    measure = 'distance'
    title = 'Attention distance to the teacher (AT)'
    unit = 'attention distance'
    meaning = 'Lower: the student attends more to the positions that the teacher attends to.'

    def __init__(
        self,
        loss_weight: float | str | dict = 1000.0,
        mode: str = 'code',
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        self.mode = check_choice('mode', mode, MODES)
        self.coefficient = 0.5 if mode == 'paper' else 1.0

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the attention distance of the mode."""
        return _distance(student, teacher, mask, self.mode)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, mode={self.mode!r}'

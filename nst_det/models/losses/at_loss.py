"""The loss of attention transfer."""

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.errors import UserError, nearest
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.match_features import match_features

MODES = ('paper', 'code')


def attention_pattern(feature_map: Tensor) -> Tensor:
    """Where a layer looks: its squared activations summed over the channels, as a unit vector.

    Source: Zagoruyko & Komodakis 2017, https://arxiv.org/abs/1612.03928, F²_sum of section 3.1 and
    Q / ‖Q‖₂ of eq. 2.

    Args:
        feature_map (Tensor): `(N, C, H, W)`.

    Returns:
        Tensor: `(N, H·W)`; all zero, and without gradient, where the map is.
    """
    # Scaled first, or the fourth powers in the norm would overflow or vanish; Q / ‖Q‖ stays.
    peak = feature_map.detach().abs().amax((1, 2, 3), keepdim=True)
    live = peak > 0
    scaled = feature_map / torch.where(live, peak, torch.ones_like(peak))
    energy = scaled.square().sum(1).flatten(1)
    norm = energy.square().sum(1, keepdim=True)
    live = live.flatten(1)
    return torch.where(live, energy * torch.where(live, norm, torch.ones_like(norm)).rsqrt(), 0.0)


def attention_distance(
    student: Tensor, teacher: Tensor, mask: Tensor | None = None, mode: str = 'paper'
) -> Tensor:
    """How far apart two maps' attention is.

    With Q the :func:`attention_pattern` of the student's and the teacher's map, paper and authors'
    code differ:

    - ``'paper'``: ‖Q_S − Q_T‖₂ (Zagoruyko & Komodakis 2017, eq. 2 with p = 2);
    - ``'code'``: the mean over the positions of (Q_S − Q_T)².

    Args:
        student (Tensor): The student's map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's map, `(N, C_T, H', W')`; brought to H × W.
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to None.
        mode (str): ``'paper'`` or ``'code'``. Defaults to ``'paper'``.

    Returns:
        Tensor: The gap of each image, `(N,)`.
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = match_features(student, teacher, mask)
        squared = (attention_pattern(student) - attention_pattern(teacher)).square()
        if mode == 'code':
            positions = squared.shape[1] if mask is None else mask.flatten(1).sum(1)
            return squared.sum(1) / positions
        squared = squared.sum(1)
        # The root's gradient at 0 is infinite; equal maps have nothing to learn.
        apart = squared > 0
        return torch.where(apart, torch.where(apart, squared, torch.ones_like(squared)).sqrt(), 0.0)


@MODELS.register_module()
class ATLoss(FeatureLoss):
    r"""Activation-based attention transfer, `Paying More Attention to Attention
    <https://arxiv.org/abs/1612.03928>`_ (Zagoruyko & Komodakis 2017).

    .. math:: L = \frac{β}{2} \cdot \frac{1}{N} \sum_n ‖Q_S^n − Q_T^n‖_2

    The authors' code squares the differences and takes their mean over the positions, without the
    ½: ``mode='code'``. It is about HW times smaller, so a β is of use in its own mode only.

    Channel counts may differ between teacher and student.

    Args:
        loss_weight (float): β, at least 0. Defaults to 1000.0, the paper's for ``'code'``; for
            ``'paper'`` values around 1 to 10 are of a detector's scale.
        mode (str): ``'paper'`` (eq. 2) or ``'code'`` (what its authors published).
            Defaults to ``'code'``.

    Raises:
        UserError: Where β is out of range or the mode is not known.
    """

    method = 'at'
    measure = 'distance'
    title = 'Attention distance to the teacher (AT)'
    unit = 'attention distance'
    meaning = 'Lower: the student attends more to where the teacher attends.'

    def __init__(self, loss_weight: float = 1000.0, mode: str = 'code') -> None:
        super().__init__(loss_weight)
        if mode not in MODES:
            raise UserError(f'ATLoss: mode is {mode!r:.80}: {nearest(str(mode), MODES)}')
        self.mode = mode
        self.coefficient = 0.5 if mode == 'paper' else 1.0

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        """β (halved for ``'paper'``) times the mean over the images of :func:`attention_distance`.

        Args:
            student (Tensor): The student's map, `(N, C_S, H, W)`.
            teacher (Tensor): The teacher's map, `(N, C_T, H', W')`.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to
                None, all of them.

        Returns:
            Tensor: The loss, a scalar.
        """
        gap = attention_distance(student, teacher, mask, self.mode)
        return self.loss_weight * self.coefficient * gap.mean()

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, mode={self.mode!r}'

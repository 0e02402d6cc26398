"""The loss of distillation by the Pearson correlation."""

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_choice
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.positions import unit_vectors

MODES = ('paper', 'code')
CONSTANT = 1e-6  # a channel that varies less, relative to its largest value, is constant


@MODELS.register_module()
class PKDLoss(FeatureLoss):
    r"""Distillation by the Pearson correlation, `PKD: General Distillation Framework for Object
    Detectors <https://arxiv.org/abs/2207.02039>`_ (Cao et al. 2022, section 3).

    .. math:: L = λ \cdot \frac{1}{C} \sum_c \bigl(1 - r(F_S^c, F_T^c)\bigr)

    with r the Pearson correlation of a channel over the positions of all images of the batch: the
    mean and the scale of a channel do not count. It equals half of the squared distance between the
    channels, each brought to mean 0 and norm 1.

    The authors' code and mmrazor's ``PKDLoss`` divide by the unbiased standard deviation plus 1e-6
    and take the mean over the positions, ``mode='code'``, which is (m − 1) / m times the above for
    m positions.

    A constant channel has no correlation: it is 0 after the normalisation, and has no gradient.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 6.0, the
            paper's value for two-stage teachers; 10 for one-stage teachers.
        mode (str): ``'paper'`` or ``'code'``. Defaults to ``'paper'``.
        connector (dict or Connector, optional): Converts the student's feature map first. Defaults
            to ``dict(type='ConvConnector')``, a 1×1 convolution if the channel counts differ.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'pkd'
    measure = 'pearson'
    title = '1 − Pearson correlation with the teacher (PKD)'
    unit = '1 − correlation'
    meaning = 'Lower: the student’s channels vary more as the teacher’s do.'
    pairs_channels = True

    def __init__(
        self,
        loss_weight: float | str | dict = 6.0,
        mode: str = 'paper',
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        self.mode = check_choice('mode', mode, MODES)

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute 1 − r of the batch, the mean over the channels."""
        counted = torch.ones_like(student[:, :1]) if mask is None else mask.to(student.dtype)
        weight = counted.transpose(0, 1).flatten(1)  # (1, N·H·W)
        count = weight.sum().clamp(min=1)
        squared = (
            (_normalised(student, weight, count, self.mode))
            - (_normalised(teacher, weight, count, self.mode))
        ).square()
        return squared.sum(1).mean(0, keepdim=True) / 2

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, mode={self.mode!r}'


def _normalised(feature_map: Tensor, weight: Tensor, count: Tensor, mode: str) -> Tensor:
    """Bring each channel to mean 0 and norm 1 over the positions that count, `(C, N·H·W)`."""
    rows = feature_map.transpose(0, 1).flatten(1)
    centred = (rows - rows.sum(1, keepdim=True) / count) * weight
    if mode == 'code':
        variance = centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)
        return centred / ((_root(variance) + 1e-6) * count.sqrt())
    # Scaled first, so that neither the size of the values nor their rounding matters.
    peak = rows.detach().abs().amax(1, keepdim=True)
    centred = centred / torch.where(peak > 0, peak, 1.0)
    varies = centred.detach().square().sum(1, keepdim=True) > CONSTANT**2 * count
    return unit_vectors(torch.where(varies, centred, 0.0), 1)


def _root(variance: Tensor) -> Tensor:
    """The square root, with the gradient 0 at 0."""
    alive = variance > 0
    return torch.where(alive, torch.where(alive, variance, 1.0).sqrt(), 0.0)

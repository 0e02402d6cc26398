"""The loss of FitNets."""

from mmdet.registry import MODELS
from torch import Tensor

from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.positions import count_positions


@MODELS.register_module()
class FitNetLoss(FeatureLoss):
    r"""Hints, `FitNets <https://arxiv.org/abs/1412.6550>`_ (Romero et al. 2015).

    .. math:: L = \frac{λ}{2} \cdot \mathrm{mean} (F_T − r(F_S))^2

    the paper's eq. 3 (section 2.2) as a mean over images, channels and positions, so that λ does
    not depend on the size of the feature map. r is the connector, which the paper calls a
    regressor.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 100.0.
        connector (dict or Connector): r. Defaults to ``dict(type='ConvConnector')``, a 1×1
            convolution if the channel counts differ, and nothing if they are equal.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'fitnet'
    measure = 'mse'
    title = 'Mean squared error to the teacher (FitNet)'
    unit = 'mean squared error'
    meaning = 'Lower: the student’s feature map, after the connector, is closer to the teacher’s.'
    coefficient = 0.5
    pairs_channels = True

    def __init__(
        self, loss_weight: float | str | dict = 100.0, connector: dict | Connector | None = None
    ) -> None:
        super().__init__(loss_weight, connector)

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the mean squared difference over the channels and the positions that count."""
        total = (student - teacher).square().sum((1, 2, 3))
        return total / (count_positions(teacher, mask) * teacher.shape[1])

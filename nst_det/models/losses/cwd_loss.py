"""The loss of channel-wise distillation."""

from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_number
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.positions import position_log_softmax


@MODELS.register_module()
class CWDLoss(FeatureLoss):
    r"""Channel-wise distillation, `Channel-wise Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/2011.13256>`_ (Shu et al. 2021, section 3.2).

    .. math:: L = λ \, \frac{τ^2}{C} \sum_c \sum_i
        φ(F_T)_{c,i} \log \frac{φ(F_T)_{c,i}}{φ(F_S)_{c,i}}

    with φ the softmax over the positions i of a channel c of F / τ: where a channel is active
    counts, how active it is does not. The authors' code and mmrazor's ``ChannelWiseDivergence``
    compute the same, apart from the padding.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 10.0,
            mmrazor's value for feature maps.
        temperature (float): τ, greater than 0. Defaults to 1.0.
        connector (dict or Connector, optional): Converts the student's feature map first. Defaults
            to ``dict(type='ConvConnector')``, a 1×1 convolution if the channel counts differ.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'cwd'
    measure = 'channelkl'
    title = 'KL divergence between the channels (CWD)'
    unit = 'KL divergence of the channels'
    meaning = 'Lower: the student’s channels are active where the teacher’s are.'
    pairs_channels = True

    def __init__(
        self,
        loss_weight: float | str | dict = 10.0,
        temperature: float = 1.0,
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        self.temperature = check_number('temperature', temperature, above=0)

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute τ² times the mean over the channels of the KL divergence."""
        log_p, log_q = (
            position_log_softmax(feature_map / self.temperature, mask)
            for feature_map in (teacher, student)
        )
        divergence = (log_p.exp() * (log_p - log_q)).sum(2)
        return self.temperature**2 * divergence.mean(1)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, temperature={self.temperature}'

"""The loss of masked generative distillation."""

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from nst_det.config.validators import check_number
from nst_det.errors import UserError
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector, run_in_own_type


@MODELS.register_module()
class MGDLoss(FeatureLoss):
    r"""Masked generative distillation, `Masked Generative Distillation
    <https://arxiv.org/abs/2205.01529>`_ (Yang et al. 2022, section 3).

    .. math:: L = α \cdot \frac{1}{N} \sum_n \sum_{c,i}
        \bigl(F_T - G(r(F_S) \cdot M)\bigr)_{n,c,i}^2

    M is 0 at a random share of the positions, other ones in every iteration and image, and 1 at the
    others. The generator G, a 3×3 convolution, a ReLU and another 3×3 convolution, is to restore
    the teacher's feature map. It is trained with the student, and resumed with its training, but is
    not in the student's checkpoint. r is the connector.

    The sum over channels and positions is the paper's, hence the small weight; mmrazor's
    ``MGDLoss`` computes the same, apart from the padding.

    Args:
        loss_weight (float, str or dict): α, at least 0, or ``'auto'``. Defaults to 2e-5, the
            paper's value for one-stage detectors; 5e-7 for two-stage detectors.
        mask_ratio (float): The paper's λ, the share of the positions at which M is 0, from 0 to 1.
            Defaults to 0.65, the paper's value for one-stage detectors; 0.45 for two-stage
            detectors.
        connector (dict or Connector, optional): r. Defaults to ``dict(type='ConvConnector')``, a
            1×1 convolution if the channel counts differ.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'mgd'
    measure = 'generation'
    title = 'Squared error of the generated feature map (MGD)'
    unit = 'squared error of the generation'
    meaning = 'Lower: the teacher’s feature map can better be restored from the student’s.'
    pairs_channels = True

    def __init__(
        self,
        loss_weight: float | str | dict = 2e-5,
        mask_ratio: float = 0.65,
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        self.mask_ratio = check_number('mask_ratio', mask_ratio, minimum=0, maximum=1)
        self.generator: nn.Sequential | None = None

    @property
    def needs_channels(self) -> bool:
        return self.generator is None or super().needs_channels

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        super().connect(student_channels, teacher_channels)
        self.generator = nn.Sequential(
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
        )

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the squared error of the generated feature map, summed over its positions."""
        if self.generator is None:
            raise UserError(
                'MGDLoss: its generator was not built before the optimizer: call connect first'
            )
        draws = torch.rand(len(student), 1, *student.shape[2:], device=student.device)
        shown = draws <= 1 - self.mask_ratio
        generated = student * shown
        for layer in self.generator:
            generated = run_in_own_type(layer, generated)
            if mask is not None:  # a bias changes the zeros outside the mask
                generated = generated.masked_fill(~mask, 0)
        return (generated - teacher).square().sum((1, 2, 3))

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, mask_ratio={self.mask_ratio}'

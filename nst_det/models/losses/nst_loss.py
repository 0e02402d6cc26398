"""The loss of Neuron Selectivity Transfer."""

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.options import build_part
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.match_features import match_features
from nst_det.models.losses.mmd.kernels import Kernel
from nst_det.models.losses.mmd.mmd2 import mmd2


def nst_mmd2(
    student: Tensor, teacher: Tensor, kernel: Kernel, mask: Tensor | None = None
) -> Tensor:
    """Compute MMD² between the selectivity patterns of two feature maps.

    It is computed in float32 (float64 for such inputs), also inside autocast, because MMD² is a
    small difference of nearly equal means.

    Args:
        student (Tensor): The student's feature map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's feature map, `(N, C_T, H', W')`. If its size differs, it is
            interpolated to H × W (bilinear, ``align_corners=False``).
        kernel (Kernel): The kernel.
        mask (Tensor, optional): The positions that the patterns consist of, `(N, 1, H, W)`, bool.
            Defaults to None, all of them.

    Returns:
        Tensor: MMD² of each image, `(N,)`.

    Raises:
        ValueError: If a feature map is not 4-dimensional or the batch sizes differ.
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = match_features(student, teacher, mask)
        return mmd2(teacher.flatten(2), student.flatten(2), kernel)


@MODELS.register_module()
class NSTLoss(FeatureLoss):
    r"""Neuron Selectivity Transfer, `Like What You Like <https://arxiv.org/abs/1707.01219>`_.

    .. math:: L = \frac{λ}{2} \cdot \frac{1}{N} \sum_n \mathrm{MMD}^2(F_T^n, F_S^n)

    The factor ½ is the paper's, so ``loss_weight`` *is* λ of the paper. Public re-implementations
    that multiply MMD² by 50 directly use what is ``loss_weight=100`` here.

    The channel counts of teacher and student may differ; no connector is needed.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 50.0.
        kernel (dict or Kernel): ``LinearKernel``, ``PolynomialKernel``, ``GaussianKernel`` or
            your own kernel. Defaults to ``dict(type='PolynomialKernel', degree=2, offset=0.0)``,
            the best one in the paper.
        connector (dict or Connector, optional): Converts the student's feature map first, such as
            ``dict(type='ConvConnector')``. Defaults to None.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'nst'
    measure = 'mmd2'
    title = 'MMD² to the teacher (NST)'
    unit = 'MMD²'
    meaning = 'Lower: the student’s selectivity patterns are closer to the teacher’s.'
    coefficient = 0.5

    def __init__(
        self,
        loss_weight: float | str | dict = 50.0,
        kernel: dict | Kernel | None = None,
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        kernel = dict(type='PolynomialKernel') if kernel is None else kernel
        self.kernel = build_part(kernel, Kernel, 'kernel')

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute MMD². A zero outside the mask adds nothing to a norm or an inner product."""
        return mmd2(teacher.flatten(2), student.flatten(2), self.kernel)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, kernel={type(self.kernel).__name__}'

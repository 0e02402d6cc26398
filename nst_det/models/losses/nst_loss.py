"""The loss of Neuron Selectivity Transfer."""

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.options import build_part
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.match_features import match_features
from nst_det.models.losses.mmd.kernels import Kernel


def nst_mmd2(
    student: Tensor, teacher: Tensor, kernel: Kernel, mask: Tensor | None = None
) -> Tensor:
    """Squared MMD between the selectivity patterns of two feature maps (NST, eq. 4).

    Computed in float32 (float64 where given that) whatever autocast says, because MMD² is a small
    difference of nearly equal means.

    Args:
        student (Tensor): The student's map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's map, `(N, C_T, H', W')`. Brought to H × W (bilinear,
            ``align_corners=False``) where its size differs.
        kernel (Kernel): The kernel.
        mask (Tensor, optional): Where the patterns are made of, `(N, 1, H, W)`, bool; the other
            positions count for nothing. Defaults to None, everywhere.

    Returns:
        Tensor: MMD² of each image, `(N,)`.

    Raises:
        ValueError: Where a map is not 4-dimensional or the batch sizes differ.
    """
    with torch.autocast(student.device.type, enabled=False):
        # A zero adds nothing to a norm or an inner product.
        student, teacher = match_features(student, teacher, mask)
        return kernel.mmd2(teacher.flatten(2), student.flatten(2))


@MODELS.register_module()
class NSTLoss(FeatureLoss):
    r"""Neuron Selectivity Transfer, `Like What You Like <https://arxiv.org/abs/1707.01219>`_.

    .. math:: L = \frac{λ}{2} \cdot \frac{1}{N} \sum_n \mathrm{MMD}^2(F_T^n, F_S^n)

    the paper's eq. 5 with its ½, so ``loss_weight`` *is* the paper's λ. Public re-implementations
    that put a weight of 50 directly on MMD² use what is ``loss_weight=100`` here.

    Channel counts may differ between teacher and student; no adapter layer is needed.

    Args:
        loss_weight (float): λ, at least 0. Defaults to 50.0.
        kernel (dict or Kernel): ``LinearKernel``, ``PolynomialKernel``, ``GaussianKernel`` or one
            of your own. Defaults to ``dict(type='PolynomialKernel', degree=2, offset=0.0)``, the
            paper's best.

    Raises:
        UserError: Where λ or a kernel's parameter is out of range, or the kernel is not known.
    """

    method = 'nst'
    measure = 'mmd2'
    title = 'MMD² to the teacher (NST)'
    unit = 'MMD²'
    meaning = 'Lower: the selectivity patterns of the student are closer to those of the teacher.'
    coefficient = 0.5

    def __init__(self, loss_weight: float = 50.0, kernel: dict | Kernel | None = None) -> None:
        super().__init__(loss_weight)
        self.kernel = build_part(
            dict(type='PolynomialKernel') if kernel is None else kernel, Kernel, 'kernel'
        )

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        """λ/2 times the mean over the images of MMD².

        Args:
            student (Tensor): The student's map, `(N, C_S, H, W)`.
            teacher (Tensor): The teacher's map, `(N, C_T, H', W')`.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. Defaults to
                None, all of them.

        Returns:
            Tensor: The loss, a scalar.
        """
        return self.loss_weight / 2 * nst_mmd2(student, teacher, self.kernel, mask).mean()

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, kernel={type(self.kernel).__name__}'

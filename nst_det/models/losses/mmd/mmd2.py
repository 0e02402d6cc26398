"""MMD² between two sets of selectivity patterns, by the cheapest implementation for a kernel."""

from torch import Tensor

from nst_det.models.losses.mmd.dual import dual_mmd2
from nst_det.models.losses.mmd.gram import GramMMD2
from nst_det.models.losses.mmd.kernels import Kernel, LinearKernel, PolynomialKernel
from nst_det.models.losses.mmd.mean import mean_mmd2


def mmd2(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Compute the squared maximum mean discrepancy between two sets of patterns.

    Source: NST, https://arxiv.org/abs/1707.01219.

    Args:
        x (Tensor): One set of channels, not normalised, `(N, C_x, H·W)`.
        y (Tensor): The other set, `(N, C_y, H·W)`; C_y may differ from C_x.
        kernel (Kernel): The kernel.

    Returns:
        Tensor: MMD² of each image, `(N,)`; 0 if the two sets are equal.
    """
    power = _power(kernel)
    fewer_positions = x.shape[2] < min(x.shape[1], y.shape[1])
    if power == 1:
        return mean_mmd2(x, y)
    if power == 2 and fewer_positions:
        return dual_mmd2(x, y)
    return GramMMD2.apply(x, y, kernel)


def _power(kernel: Kernel) -> int | None:
    """Find the d of a kernel that is exactly k(x, y) = (xᵀy)^d; None for any other kernel.

    Only the classes themselves are known to be that: a subclass can override ``values``.
    """
    if type(kernel) is LinearKernel:
        return 1
    if type(kernel) is PolynomialKernel and kernel.offset == 0:
        return kernel.degree
    return None

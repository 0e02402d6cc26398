"""The kernels of NST: what it means for two selectivity patterns to be alike."""

import sys
from abc import ABC, abstractmethod
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.errors import UserError
from nst_det.models.losses.mmd.dual import DualMMD2
from nst_det.models.losses.mmd.gram import GramMMD2
from nst_det.models.losses.mmd.mean import MeanMMD2


class Kernel(ABC):
    """A kernel k(x, y) that is a function of the patterns' inner products alone.

    So it works elementwise on a Gram matrix, and nothing larger than C × C is ever built. A kernel
    of your own subclasses this, implements :meth:`values` and registers itself into
    ``mmdet.registry.MODELS``.
    """

    @abstractmethod
    def values(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor, bandwidth: Tensor | None) -> Tensor:
        """Evaluate the kernel on every pair of patterns.

        Args:
            gram (Tensor): The inner products xᵀy, `(N, C_x, C_y)`.
            sq_x (Tensor): The squared norms of the patterns x (1, or 0 if dead), `(N, C_x, 1)`.
            sq_y (Tensor): Likewise of y, `(N, 1, C_y)`.
            bandwidth (Tensor, optional): What :meth:`bandwidth` returned.

        Returns:
            Tensor: k(x, y), `(N, C_x, C_y)`.
        """

    def bandwidth(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor) -> Tensor | None:
        """The kernel's data-dependent constant, from the teacher–student pairs of each image.

        Takes what :meth:`values` takes. None, the default, is for kernels that have none.
        """
        return None

    def derivative(
        self,
        gram: Tensor,
        sq_x: Tensor,
        sq_y: Tensor,
        bandwidth: Tensor | None,
        values: Tensor,
    ) -> Tensor:
        """The kernel's derivative by each inner product, the norms held fixed.

        A kernel of your own need not implement it: autograd finds it out of :meth:`values`.

        Takes what :meth:`values` takes, and what that gave, which may be overwritten.

        Returns:
            Tensor: ∂k/∂(xᵀy), `(N, C_x, C_y)`, a tensor of its own.
        """
        with torch.enable_grad():
            leaf = gram.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(
                self.values(leaf, sq_x, sq_y, bandwidth).sum(), leaf
            )
        return derivative.contiguous()  # that of a sum is one number, expanded

    def mmd2(self, x: Tensor, y: Tensor) -> Tensor:
        """Squared maximum mean discrepancy between two sets of patterns (NST, eq. 4).

        Differentiable once in both.

        Args:
            x (Tensor): One set of channels, not normalised, `(N, C_x, HW)`.
            y (Tensor): The other, `(N, C_y, HW)`; C_y may differ from C_x.

        Returns:
            Tensor: MMD² of each image, `(N,)`, zero where the two sets are equal.
        """
        return GramMMD2.apply(x, y, self)


@MODELS.register_module()
class LinearKernel(Kernel):
    """k(x, y) = xᵀy (NST, section 3.3).

    MMD² is then the squared distance of the two mean patterns, which takes O(C·HW).
    """

    def values(
        self, gram: Tensor, sq_x: Tensor, sq_y: Tensor, bandwidth: Tensor | None = None
    ) -> Tensor:
        return gram

    def mmd2(self, x: Tensor, y: Tensor) -> Tensor:
        return MeanMMD2.apply(x, y)


@MODELS.register_module()
class PolynomialKernel(Kernel):
    """k(x, y) = (xᵀy + c)^d (NST, section 3.3).

    Args:
        degree (int): d, at least 1. Defaults to 2, the paper's.
        offset (float): c, at least 0. Defaults to 0.0, the paper's.

    Raises:
        UserError: Where a parameter is out of its range.
    """

    def __init__(self, degree: int = 2, offset: float = 0.0) -> None:
        if isinstance(degree, bool) or not isinstance(degree, int) or degree < 1:
            raise UserError(
                f'PolynomialKernel: degree is {degree!r}, expected a whole number of at least 1 '
                '(the paper uses 2)'
            )
        if not _is_number(offset) or offset < 0:
            raise UserError(
                f'PolynomialKernel: offset is {offset!r}, expected a number of at least 0 '
                '(the paper uses 0)'
            )
        self.degree = degree
        self.offset = offset

    def values(
        self, gram: Tensor, sq_x: Tensor, sq_y: Tensor, bandwidth: Tensor | None = None
    ) -> Tensor:
        return (gram + self.offset) ** self.degree if self.offset else gram**self.degree

    def derivative(
        self,
        gram: Tensor,
        sq_x: Tensor,
        sq_y: Tensor,
        bandwidth: Tensor | None,
        values: Tensor,
    ) -> Tensor:
        base = torch.add(gram, self.offset, out=values)
        return base.pow_(self.degree - 1).mul_(self.degree)

    def mmd2(self, x: Tensor, y: Tensor) -> Tensor:
        square = self.degree == 2 and self.offset == 0
        if square and x.shape[2] < min(x.shape[1], y.shape[1]):
            return DualMMD2.apply(x, y)
        return super().mmd2(x, y)


@MODELS.register_module()
class GaussianKernel(Kernel):
    """k(x, y) = exp(−‖x − y‖² / (2σ²)) (NST, section 3.3).

    Args:
        sigma_squared (float, optional): σ², greater than 0. Defaults to None, the paper's choice:
            the mean squared distance of an image's teacher–student pairs, taken as a constant
            (no gradient flows through it) and shared by the three terms of MMD².

    Raises:
        UserError: Where σ² is not greater than 0.
    """

    def __init__(self, sigma_squared: float | None = None) -> None:
        if sigma_squared is not None and (not _is_number(sigma_squared) or sigma_squared <= 0):
            raise UserError(
                f'GaussianKernel: sigma_squared is {sigma_squared!r}, expected a number greater '
                'than 0, or None for the mean squared distance of the pairs'
            )
        self.sigma_squared = sigma_squared

    def bandwidth(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor) -> Tensor:
        if self.sigma_squared is not None:
            return gram.new_full((1, 1, 1), self.sigma_squared)
        mean = (sq_x + sq_y - 2 * gram).mean((1, 2), keepdim=True)
        # Where all patterns are one and the same, every distance is 0 and any σ² gives k = 1.
        return torch.where(mean > torch.finfo(mean.dtype).eps, mean, torch.ones_like(mean))

    def values(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor, bandwidth: Tensor | None) -> Tensor:
        return torch.exp((gram - (sq_x + sq_y) / 2) / bandwidth)

    def derivative(
        self,
        gram: Tensor,
        sq_x: Tensor,
        sq_y: Tensor,
        bandwidth: Tensor | None,
        values: Tensor,
    ) -> Tensor:
        return values.div_(bandwidth)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max

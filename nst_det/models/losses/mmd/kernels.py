"""The kernels of NST: the similarity of two selectivity patterns."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_integer, check_number


class Kernel(ABC):
    """A kernel k(x, y) that depends on the patterns through their inner products alone.

    So it works elementwise on a Gram matrix, and nothing larger than C × C is ever built. To write
    your own kernel, derive a class from this one, implement :meth:`values` and register the class
    in ``mmdet.registry.MODELS``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let autograd differentiate ``values`` if a subclass overrides it without its derivative.

        The inherited ``derivative`` would belong to the ``values`` of the parent.
        """
        super().__init_subclass__(**kwargs)
        owners = [base for base in cls.__mro__ if vars(base).keys() & {'values', 'derivative'}]
        if 'derivative' not in vars(owners[0]):
            cls.derivative = Kernel.derivative  # type: ignore[method-assign]

    @abstractmethod
    def values(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor, bandwidth: Tensor | None) -> Tensor:
        """Evaluate the kernel on every pair of patterns.

        Args:
            gram (Tensor): The inner products xᵀy, `(N, C_x, C_y)`.
            sq_x (Tensor): The squared norms of the patterns x (1, or 0 if dead), `(N, C_x, 1)`.
            sq_y (Tensor): The squared norms of the patterns y, `(N, 1, C_y)`.
            bandwidth (Tensor, optional): What :meth:`bandwidth` returned.

        Returns:
            Tensor: k(x, y), `(N, C_x, C_y)`.
        """

    def bandwidth(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor) -> Tensor | None:
        """Compute a constant of the kernel from the teacher–student pairs of each image.

        Args:
            gram (Tensor): The inner products xᵀy, `(N, C_x, C_y)`.
            sq_x (Tensor): The squared norms of the patterns x, `(N, C_x, 1)`.
            sq_y (Tensor): The squared norms of the patterns y, `(N, 1, C_y)`.

        Returns:
            Tensor, optional: The constant of each image, `(N, 1, 1)`; None, the default, for a
            kernel without one.
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
        """Differentiate the kernel by each inner product, with the norms held fixed.

        Your own kernel need not implement it: by default autograd differentiates :meth:`values`.

        Args:
            gram (Tensor): The inner products xᵀy, `(N, C_x, C_y)`.
            sq_x (Tensor): The squared norms of the patterns x, `(N, C_x, 1)`.
            sq_y (Tensor): The squared norms of the patterns y, `(N, 1, C_y)`.
            bandwidth (Tensor, optional): What :meth:`bandwidth` returned.
            values (Tensor): What :meth:`values` returned; it may be overwritten.

        Returns:
            Tensor: ∂k/∂(xᵀy), `(N, C_x, C_y)`; the caller may overwrite it.
        """
        with torch.enable_grad():
            leaf = gram.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(
                self.values(leaf, sq_x, sq_y, bandwidth).sum(), leaf
            )
        return derivative.contiguous()  # the derivative of a sum is one expanded number


@MODELS.register_module()
class LinearKernel(Kernel):
    """k(x, y) = xᵀy (NST)."""

    def values(
        self, gram: Tensor, sq_x: Tensor, sq_y: Tensor, bandwidth: Tensor | None = None
    ) -> Tensor:
        return gram


@MODELS.register_module()
class PolynomialKernel(Kernel):
    """k(x, y) = (xᵀy + c)^d (NST).

    Args:
        degree (int): d, at least 1. Defaults to 2, as in the paper.
        offset (float): c, at least 0. Defaults to 0.0, as in the paper.

    Raises:
        UserError: If a parameter is out of its range.
    """

    def __init__(self, degree: int = 2, offset: float = 0.0) -> None:
        self.degree = check_integer('degree', degree, minimum=1, hint=' (the paper uses 2)')
        self.offset = check_number('offset', offset, minimum=0, hint=' (the paper uses 0)')

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


@MODELS.register_module()
class GaussianKernel(Kernel):
    """k(x, y) = exp(−‖x − y‖² / (2σ²)) (NST).

    Args:
        sigma_squared (float, optional): σ², greater than 0. Defaults to None, as in the paper: the
            mean squared distance of an image's teacher–student pairs, taken as a constant (no
            gradient flows through it) and shared by the three terms of MMD².

    Raises:
        UserError: If σ² is not greater than 0.
    """

    def __init__(self, sigma_squared: float | None = None) -> None:
        if sigma_squared is not None:
            hint = ', or None for the mean squared distance of the pairs'
            check_number('sigma_squared', sigma_squared, above=0, hint=hint)
        self.sigma_squared = sigma_squared

    def bandwidth(self, gram: Tensor, sq_x: Tensor, sq_y: Tensor) -> Tensor:
        if self.sigma_squared is not None:
            return gram.new_full((1, 1, 1), self.sigma_squared)
        mean = (sq_x + sq_y - 2 * gram).mean((1, 2), keepdim=True)
        # If all patterns are the same, every distance is 0 and any σ² gives k = 1.
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

"""MMD² and its gradient out of Gram matrices of the raw features: five matrix products in all."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from nst_det.models.losses.mmd.once_differentiable import once_differentiable
from nst_det.models.losses.mmd.patterns import pattern_scale, project, squared_norms

if TYPE_CHECKING:
    from nst_det.models.losses.mmd.kernels import Kernel


_WORTH_HALVING = 128  # channels; measured: see docs/speed.md


class GramMMD2(torch.autograd.Function):
    r"""MMD² between the patterns of two sets of channels, for any kernel of inner products.

    With X the raw channels, one a row, and D = diag(1/‖x_i‖), the patterns' Gram matrix is
    D (XXᵀ) D, so no normalised copy of a map is ever made. The gradient is one coefficient matrix
    per term times the raw channels,

    .. math:: \frac{∂\,\mathrm{MMD}^2}{∂Y} = A_{yy} Y + A_{yx} X

    with k' the kernel's slope at each entry, A_yy = D_y (2 k'_yy / C_y²) D_y − diag(c) D_y² and
    A_yx = −D_y (2 k'_xyᵀ / (C_x C_y)) D_x, where c_j, the gradient along pattern j itself, is what
    normalising takes away. Both are made in the forward pass, where the Gram matrices are at hand.
    So a forward and backward pass with one set to learn takes the five products XXᵀ, YYᵀ, XYᵀ,
    A_yy Y and A_yx X, and of memory at most four Gram matrices at a time.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor, kernel: 'Kernel') -> Tensor:
        """MMD² of each image.

        Args:
            x (Tensor): One set of channels, `(N, C_x, HW)`.
            y (Tensor): The other, `(N, C_y, HW)`.
            kernel (Kernel): The kernel.

        Returns:
            Tensor: `(N,)`.
        """
        needs_x, needs_y = ctx.needs_input_grad[:2]
        xy = torch.bmm(x, y.mT)
        norms_x, norms_y = _Norms(x), _Norms(y)
        norms_x.normalise(xy, norms_y)
        bandwidth = kernel.bandwidth(xy, norms_x.squares, norms_y.squares.mT)
        weight = -2 / (x.shape[1] * y.shape[1])
        total, derivative = _term(
            kernel, xy, norms_x, norms_y, bandwidth, weight, needs_x or needs_y
        )
        along_x = along_y = None
        if needs_x:
            along_x = (derivative * xy).sum(2)
        if needs_y:
            along_y = (derivative * xy).sum(1)
        del xy
        coefficients = []
        for needed, one, norms, along in (
            (needs_x, x, norms_x, along_x),
            (needs_y, y, norms_y, along_y),
        ):
            gram = symmetric_gram(one)
            norms.normalise(gram, norms)
            weight = 1 / one.shape[1] ** 2
            part, own = _term(kernel, gram, norms, norms, bandwidth, weight, needed)
            total = total + part
            if needed:
                own *= 2
                along = along + torch.einsum('nij,nij->ni', own, gram)
                norms.normalise(own, norms)
                own.diagonal(dim1=1, dim2=2).sub_(norms.scale_squared * project(along, norms.raw))
                coefficients.append(own)
            del gram
        if derivative is not None:
            norms_x.normalise(derivative, norms_y)
            coefficients.append(derivative)
        ctx.save_for_backward(x, y, *coefficients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradients at both sets of channels.

        Args:
            upstream (Tensor): The gradient at each image's MMD², `(N,)`.
        """
        x, y, *own, across = ctx.saved_tensors
        scale = upstream[:, None, None]
        gradients: list[Tensor | None] = [None, None]
        across = across * scale
        for i, (one, other, turned) in enumerate(((x, y, across), (y, x, across.mT))):
            if ctx.needs_input_grad[i]:
                gradient = torch.bmm(own.pop(0) * scale, one)
                gradients[i] = gradient.baddbmm_(turned, other)
        return gradients[0], gradients[1], None


def symmetric_gram(rows: Tensor) -> Tensor:
    """The inner products of a set of channels with themselves.

    On a CPU what lies below the diagonal is not computed twice, but for two blocks on it: three
    quarters of the multiplications.

    Args:
        rows (Tensor): `(N, C, HW)`.

    Returns:
        Tensor: `(N, C, C)`.
    """
    channels = rows.shape[1]
    half = channels // 2
    if rows.is_cuda or channels < _WORTH_HALVING:
        return torch.bmm(rows, rows.mT)
    gram = rows.new_empty(len(rows), channels, channels)
    gram[:, :half] = torch.bmm(rows[:, :half], rows.mT)
    gram[:, half:, :half] = gram[:, :half, half:].mT
    gram[:, half:, half:] = torch.bmm(rows[:, half:], rows[:, half:].mT)
    return gram


class _Norms:
    """The norms of a set of channels."""

    def __init__(self, rows: Tensor) -> None:
        self.raw = squared_norms(rows)
        self.scale = pattern_scale(self.raw)
        self.scale_squared = self.scale.square()
        self.squares = (self.raw * self.scale_squared).unsqueeze(2)

    def normalise(self, gram: Tensor, other: '_Norms') -> None:
        """Multiply the rows of a matrix by the own scales and its columns by another set's."""
        gram.mul_(self.scale.unsqueeze(2)).mul_(other.scale.unsqueeze(1))


def _term(
    kernel: 'Kernel',
    gram: Tensor,
    rows: _Norms,
    columns: _Norms,
    bandwidth: Tensor | None,
    weight: float,
    needs_derivative: bool,
) -> tuple[Tensor, Tensor | None]:
    """A weighted term of MMD², and its derivative by each entry of the Gram matrix."""
    squares = rows.squares, columns.squares.mT
    values = kernel.values(gram, *squares, bandwidth)
    total = weight * values.sum((1, 2))
    if not needs_derivative:
        return total, None
    return total, kernel.derivative(gram, *squares, bandwidth, values).mul_(weight)

"""MMD² and its gradient from Gram matrices of the raw channels: five matrix products in all."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from nst_det.models.losses.mmd.kernels import Kernel
from nst_det.models.losses.mmd.once_differentiable import once_differentiable
from nst_det.models.losses.mmd.patterns import pattern_scale, project, squared_norms

_MIN_CHANNELS_TO_SPLIT = 128  # below, splitting a symmetric product is no faster: docs/speed.md


class GramMMD2(torch.autograd.Function):
    r"""MMD² between the patterns of two sets of channels, for any kernel of inner products.

    With X the raw channels, one a row, and D = diag(1/‖x_i‖), the Gram matrix of the patterns is
    D (XXᵀ) D, so that no normalised copy of a feature map is ever made. The gradient is one
    coefficient matrix per term times the raw channels,

    .. math:: \frac{∂\,\mathrm{MMD}^2}{∂Y} = A_{yy} Y + A_{yx} X

    with k' the derivative of the kernel by each inner product,
    A_yy = D_y (2 k'_yy / C_y²) D_y − diag(c) D_y² and A_yx = −D_y (2 k'_xyᵀ / (C_x C_y)) D_x. Here
    c_j is the gradient along pattern j itself, which the normalisation removes. The coefficients
    are computed in the forward pass, which has the Gram matrices. With a gradient for Y alone, a
    forward and backward pass takes the five products XXᵀ, YYᵀ, XYᵀ, A_yy Y and A_yx X, and the
    memory of at most four Gram matrices at a time.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
        """Compute MMD² of each image.

        Args:
            x (Tensor): One set of channels, not normalised, `(N, C_x, H·W)`.
            y (Tensor): The other set, `(N, C_y, H·W)`.
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
        total, across = _term(kernel, xy, norms_x, norms_y, bandwidth, weight, needs_x or needs_y)
        along_x = (across * xy).sum(2) if needs_x else None
        along_y = (across * xy).sum(1) if needs_y else None
        del xy
        coefficients = []
        for rows, norms, along in ((x, norms_x, along_x), (y, norms_y, along_y)):
            gram = symmetric_gram(rows)
            norms.normalise(gram, norms)
            weight = 1 / rows.shape[1] ** 2
            term, within = _term(kernel, gram, norms, norms, bandwidth, weight, along is not None)
            total = total + term
            if along is not None:
                within *= 2
                along = along + torch.einsum('nij,nij->ni', within, gram)
                norms.normalise(within, norms)
                removed = norms.scale_squared * project(along, norms.raw)
                within.diagonal(dim1=1, dim2=2).sub_(removed)
                coefficients.append(within)
            del gram
        if across is not None:
            norms_x.normalise(across, norms_y)
            coefficients.append(across)
        ctx.save_for_backward(x, y, *coefficients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Compute the gradients of both sets of channels.

        Args:
            upstream (Tensor): The gradient of each image's MMD², `(N,)`.
        """
        x, y, *within, across = ctx.saved_tensors
        upstream = upstream[:, None, None]
        across = across * upstream
        gradients: list[Tensor | None] = [None, None]
        for i, (rows, columns, coefficients) in enumerate(((x, y, across), (y, x, across.mT))):
            if ctx.needs_input_grad[i]:
                gradient = torch.bmm(within.pop(0) * upstream, rows)
                gradients[i] = gradient.baddbmm_(coefficients, columns)
        return gradients[0], gradients[1], None


def symmetric_gram(rows: Tensor) -> Tensor:
    """Compute the inner products of a set of channels with themselves.

    On a CPU, one of the two blocks off the diagonal is copied from the other, not computed: three
    quarters of the multiplications.

    Args:
        rows (Tensor): The channels, `(N, C, H·W)`.

    Returns:
        Tensor: `(N, C, C)`.
    """
    channels = rows.shape[1]
    half = channels // 2
    if rows.is_cuda or channels < _MIN_CHANNELS_TO_SPLIT:
        return torch.bmm(rows, rows.mT)
    gram = rows.new_empty(len(rows), channels, channels)
    gram[:, :half] = torch.bmm(rows[:, :half], rows.mT)
    gram[:, half:, :half] = gram[:, :half, half:].mT
    gram[:, half:, half:] = torch.bmm(rows[:, half:], rows[:, half:].mT)
    return gram


class _Norms:
    """The norms of a set of channels, `(N, C)`, and the factors that follow from them.

    Attributes:
        raw (Tensor): The squared norms of the channels.
        scale (Tensor): The factors that turn the channels into patterns.
        scale_squared (Tensor): Their squares.
        squares (Tensor): The squared norms of the patterns (1, or 0 if dead), `(N, C, 1)`.
    """

    def __init__(self, rows: Tensor) -> None:
        self.raw = squared_norms(rows)
        self.scale = pattern_scale(self.raw)
        self.scale_squared = self.scale.square()
        self.squares = (self.raw * self.scale_squared).unsqueeze(2)

    def normalise(self, matrix: Tensor, columns: '_Norms') -> None:
        """Multiply the rows of a matrix by these factors, and its columns by those of a set."""
        matrix.mul_(self.scale.unsqueeze(2)).mul_(columns.scale.unsqueeze(1))


def _term(
    kernel: Kernel,
    gram: Tensor,
    rows: _Norms,
    columns: _Norms,
    bandwidth: Tensor | None,
    weight: float,
    needs_derivative: bool,
) -> tuple[Tensor, Tensor | None]:
    """Compute a weighted term of MMD², and its derivative by each entry of the Gram matrix."""
    squares = rows.squares, columns.squares.mT
    values = kernel.values(gram, *squares, bandwidth)
    total = weight * values.sum((1, 2))
    if not needs_derivative:
        return total, None
    return total, kernel.derivative(gram, *squares, bandwidth, values).mul_(weight)

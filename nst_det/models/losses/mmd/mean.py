"""MMD² of the linear kernel: the distance of the mean patterns, in one pass over the features."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from nst_det.models.losses.mmd.once_differentiable import once_differentiable
from nst_det.models.losses.mmd.patterns import pattern_scale, project, squared_norms


class MeanMMD2(torch.autograd.Function):
    r"""MMD² between the patterns of two sets of channels for k(x, y) = xᵀy.

    .. math:: \mathrm{MMD}^2 = ‖δ‖^2, \quad δ = \tfrac{1}{C_x} \sum_i \hat x_i
        − \tfrac{1}{C_y} \sum_j \hat y_j

    (NST, section 3.3). The gradient at ŷ_j is −2δ/C_y for every j: O(C·HW), and no copy of a map.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor) -> Tensor:
        """MMD² of each image.

        Args:
            x (Tensor): One set of channels, `(N, C_x, HW)`.
            y (Tensor): The other, `(N, C_y, HW)`.

        Returns:
            Tensor: `(N,)`.
        """
        norms = [squared_norms(one) for one in (x, y)]
        means = [
            torch.bmm(pattern_scale(raw).unsqueeze(1), one).squeeze(1) / one.shape[1]
            for raw, one in zip(norms, (x, y))
        ]
        difference = means[0] - means[1]
        ctx.save_for_backward(x, y, difference, *norms)
        return difference.square().sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients at both sets of channels.

        Args:
            upstream (Tensor): The gradient at each image's MMD², `(N,)`.
        """
        x, y, difference, *norms = ctx.saved_tensors
        gradients: list[Tensor | None] = [None, None]
        for i, (sign, one, raw) in enumerate(((2, x, norms[0]), (-2, y, norms[1]))):
            if not ctx.needs_input_grad[i]:
                continue
            gradient = (sign / one.shape[1] * upstream)[:, None] * difference
            scale = pattern_scale(raw).unsqueeze(2)
            along = torch.bmm(one, gradient.unsqueeze(2)) * scale
            taken = project(along, raw.unsqueeze(2)) * scale.square()
            gradients[i] = (one * -taken).baddbmm_(scale, gradient.unsqueeze(1))
        return gradients[0], gradients[1]

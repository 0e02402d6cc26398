"""MMD² of the square kernel out of HW × HW matrices, for more channels than positions."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from nst_det.models.losses.mmd.once_differentiable import once_differentiable
from nst_det.models.losses.mmd.patterns import pattern_scale, project, squared_norms


class DualMMD2(torch.autograd.Function):
    r"""MMD² between the patterns of two sets of channels for k(x, y) = (xᵀy)².

    .. math:: \mathrm{MMD}^2 = \left\| \tfrac{1}{C_x} \hat X^⊤ \hat X
        − \tfrac{1}{C_y} \hat Y^⊤ \hat Y \right\|_F^2 = ‖K‖_F^2

    over the rows' patterns (NST, section 3.3, eq. 7). The gradient at Ŷ is −(4/C_y) Ŷ K, so forward
    and backward are three products of C·HW² instead of five of C²·HW.
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
        difference = None
        for sign, one in ((1, x), (-1, y)):
            patterns = one * pattern_scale(squared_norms(one)).unsqueeze(2)
            if difference is None:
                difference = torch.bmm(patterns.mT, patterns).div_(one.shape[1])
            else:
                difference.baddbmm_(patterns.mT, patterns, alpha=sign / one.shape[1])
        ctx.save_for_backward(x, y, difference)
        return difference.square().sum((1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients at both sets of channels.

        Args:
            upstream (Tensor): The gradient at each image's MMD², `(N,)`.
        """
        x, y, difference = ctx.saved_tensors
        gradients: list[Tensor | None] = [None, None]
        for i, (sign, one) in enumerate(((4, x), (-4, y))):
            if not ctx.needs_input_grad[i]:
                continue
            raw = squared_norms(one)
            scale = pattern_scale(raw)
            factor = (sign / one.shape[1] * upstream)[:, None] * scale.square()
            gradient = torch.bmm(one, difference)
            along = torch.einsum('nip,nip->ni', gradient, one) * scale.square()
            gradient.sub_(one * project(along, raw).unsqueeze(2))
            gradients[i] = gradient.mul_(factor.unsqueeze(2))
        return gradients[0], gradients[1]

"""The formulations of NST's loss that the benchmark sets side by side; the tests too."""

import torch
from torch import Tensor

from nst_det.models.losses import Kernel, selectivity_patterns


def broadcast(student: Tensor, teacher: Tensor, kernel: Kernel) -> Tensor:
    """As the public PyTorch versions do: every pair of patterns as a tensor `(N, C, C, HW)`."""
    x, y = selectivity_patterns(teacher), selectivity_patterns(student)

    def gram(one: Tensor, other: Tensor) -> Tensor:
        return (one.unsqueeze(2) * other.unsqueeze(1)).sum(3)

    return _mmd2(kernel, x, y, gram(x, x), gram(y, y), gram(x, y))


def autograd_over_bmm(student: Tensor, teacher: Tensor, kernel: Kernel) -> Tensor:
    """Batched products of normalised copies, and autograd for the gradient."""
    x, y = selectivity_patterns(teacher), selectivity_patterns(student)
    return _mmd2(kernel, x, y, x @ x.mT, y @ y.mT, x @ y.mT)


def _mmd2(kernel: Kernel, x: Tensor, y: Tensor, xx: Tensor, yy: Tensor, xy: Tensor) -> Tensor:
    sq_x, sq_y = (one.detach().square().sum(2, keepdim=True) for one in (x, y))
    bandwidth = kernel.bandwidth(xy.detach(), sq_x, sq_y.mT)
    return (
        kernel.values(xx, sq_x, sq_x.mT, bandwidth).mean((1, 2))
        + kernel.values(yy, sq_y, sq_y.mT, bandwidth).mean((1, 2))
        - 2 * kernel.values(xy, sq_x, sq_y.mT, bandwidth).mean((1, 2))
    )


def five_products(student: Tensor, teacher: Tensor) -> None:
    """The floor: the batched products that a forward and a backward pass cannot do without."""
    x, y = teacher.flatten(2), student.flatten(2)
    grams = [torch.bmm(one, other.mT) for one, other in ((x, x), (y, y), (x, y))]
    torch.bmm(grams[1], y)
    torch.bmm(grams[2].mT, x)

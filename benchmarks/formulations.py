"""Formulations of NST's loss, for the benchmark and for the tests to compare with."""

import torch
from torch import Tensor

from nst_det.models.losses import Kernel, selectivity_patterns


def broadcast(student: Tensor, teacher: Tensor, kernel: Kernel) -> Tensor:
    """Compute MMD² as the public PyTorch versions do: from tensors `(N, C_T, C_S, H·W)`."""
    x, y = selectivity_patterns(teacher), selectivity_patterns(student)

    def gram(rows: Tensor, columns: Tensor) -> Tensor:
        return (rows.unsqueeze(2) * columns.unsqueeze(1)).sum(3)

    return _mmd2(kernel, x, y, gram(x, x), gram(y, y), gram(x, y))


def autograd_over_bmm(student: Tensor, teacher: Tensor, kernel: Kernel) -> Tensor:
    """Compute MMD² from batched products of normalised copies, and its gradient by autograd."""
    x, y = selectivity_patterns(teacher), selectivity_patterns(student)
    return _mmd2(kernel, x, y, x @ x.mT, y @ y.mT, x @ y.mT)


def _mmd2(kernel: Kernel, x: Tensor, y: Tensor, xx: Tensor, yy: Tensor, xy: Tensor) -> Tensor:
    sq_x, sq_y = (rows.detach().square().sum(2, keepdim=True) for rows in (x, y))
    bandwidth = kernel.bandwidth(xy.detach(), sq_x, sq_y.mT)
    return (
        kernel.values(xx, sq_x, sq_x.mT, bandwidth).mean((1, 2))
        + kernel.values(yy, sq_y, sq_y.mT, bandwidth).mean((1, 2))
        - 2 * kernel.values(xy, sq_x, sq_y.mT, bandwidth).mean((1, 2))
    )


def five_products(student: Tensor, teacher: Tensor) -> None:
    """Run the batched products that no forward and backward pass can do without: the floor."""
    x, y = teacher.flatten(2), student.flatten(2)
    grams = [torch.bmm(rows, columns.mT) for rows, columns in ((x, x), (y, y), (x, y))]
    torch.bmm(grams[1], y)
    torch.bmm(grams[2].mT, x)

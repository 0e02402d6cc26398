"""The loss of centred kernel alignment."""

import torch
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.match_features import match_features

FEWEST = 4  # positions of an image, which the estimator needs


def cka(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute the linear centred kernel alignment of two feature maps, estimated without bias.

    The positions of an image are its samples, and each image is a minibatch in the sense of Nguyen
    et al. 2021 (https://arxiv.org/abs/2010.15327, eqs. 2 and 3): with K and L the inner products of
    the positions of the student's and of the teacher's feature map, it is

        Σ_n HSIC(K_n, L_n) / √(Σ_n HSIC(K_n, K_n) · Σ_n HSIC(L_n, L_n))

    with the unbiased estimator HSIC₁ (Song et al. 2012). No matrix of positions is built: all sums
    follow from the C_S × C_T matrix of the channels.

    Args:
        student (Tensor): The student's feature map, `(N, C_S, H, W)`.
        teacher (Tensor): The teacher's feature map, `(N, C_T, H', W')`; interpolated to H × W if
            its size differs.
        mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. An image with fewer
            than 4 is left out. Defaults to None, all of them.

    Returns:
        Tensor: A scalar, 1 for feature maps that are equal up to a rotation of the channels and a
        scale, about 0 for independent ones; 0 without gradient if one is constant.
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = match_features(student, teacher, mask)
        return _cka(student, teacher, mask)


def _cka(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    counted = torch.ones_like(student[:, :1]) if mask is None else mask.to(student.dtype)
    weight = counted.flatten(2)
    count = weight.sum(2, keepdim=True)
    enough = (count >= FEWEST).flatten()
    student, teacher = (_centred(x.flatten(2), weight, count) for x in (student, teacher))
    count = count.flatten().clamp(min=FEWEST)
    cross, own_student, own_teacher = (
        torch.where(enough, _hsic(x, y, count), 0.0).sum()
        for x, y in ((student, teacher), (student, student), (teacher, teacher))
    )
    alive = (own_student > 0) & (own_teacher > 0)
    own_student, own_teacher = (torch.where(alive, own, 1.0) for own in (own_student, own_teacher))
    return torch.where(alive, cross * own_student.rsqrt() * own_teacher.rsqrt(), 0.0)


def _centred(rows: Tensor, weight: Tensor, count: Tensor) -> Tensor:
    """Subtract the mean of each channel, on which HSIC does not depend, against rounding."""
    peak = rows.detach().abs().amax().clamp(min=torch.finfo(rows.dtype).tiny)
    rows = rows / peak
    return (rows - rows.sum(2, keepdim=True) / count.clamp(min=1)) * weight


def _hsic(x: Tensor, y: Tensor, count: Tensor) -> Tensor:
    """Compute HSIC₁ of each image from centred feature maps `(N, C, H·W)`, `(N,)`.

    With K̃ the inner products of the positions and a zero diagonal: K̃1 = −diag(K), as the positions
    add up to 0.
    """
    diagonal_x, diagonal_y = x.square().sum(1), y.square().sum(1)
    shared = (diagonal_x * diagonal_y).sum(1)
    trace = (x @ y.mT).square().sum((1, 2)) - shared
    totals = diagonal_x.sum(1) * diagonal_y.sum(1) / ((count - 1) * (count - 2))
    return (trace + totals - 2 / (count - 2) * shared) / (count * (count - 3))


@MODELS.register_module()
class CKALoss(FeatureLoss):
    r"""Centred kernel alignment, `Similarity of Neural Network Representations Revisited
    <https://arxiv.org/abs/1905.00414>`_ (Kornblith et al. 2019) as a loss.

    .. math:: L = λ \cdot (1 - \mathrm{CKA}(F_S, F_T))

    with the positions of an image as samples: see :func:`cka`. It compares the H·W × H·W matrices
    of the inner products of the positions, as NST with the polynomial kernel does. NST normalises
    every channel, and does not centre; CKA centres, and normalises the matrices. So a channel of
    large values counts more in CKA. The channel counts may differ; no connector is needed.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 1.0.
        connector (dict or Connector, optional): Converts the student's feature map first. Defaults
            to None.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'cka'
    measure = 'cka'
    title = '1 − CKA with the teacher'
    unit = '1 − CKA'
    meaning = 'Lower: positions that are alike to the teacher are alike to the student.'

    def __init__(
        self, loss_weight: float | str | dict = 1.0, connector: dict | Connector | None = None
    ) -> None:
        super().__init__(loss_weight, connector)

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute 1 − CKA of the batch; 0 if no image has enough positions."""
        alignment = _cka(student, teacher, mask)
        counts = None if mask is None else (mask.flatten(1).sum(1) >= FEWEST).any()
        missing = 1 - alignment
        return (missing if counts is None else torch.where(counts, missing, 0.0)).reshape(1)

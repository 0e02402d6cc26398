"""The loss of relational knowledge distillation."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor

from nst_det.config.validators import check_choice, check_number
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.positions import unit_vectors

MODES = ('paper', 'code')


@MODELS.register_module()
class RKDLoss(FeatureLoss):
    r"""Relational distillation, `Relational Knowledge Distillation
    <https://arxiv.org/abs/1904.05068>`_ (Park et al. 2019, section 3.2).

    .. math:: L = λ \Bigl(λ_D \sum_{i,j} h\bigl(d^S_{ij}, d^T_{ij}\bigr)
        + λ_A \sum_{i,j,k} h\bigl(a^S_{ijk}, a^T_{ijk}\bigr)\Bigr)

    with d the distance of the complete feature maps of two images of a batch, divided by the mean
    distance; a the cosine of the angle that three images form; and h the Huber loss with δ = 1. The
    sums are over distinct images. With fewer than 3 images in a batch there is only one distance,
    which is 1 after the division, and the loss is 0.

    The authors' code and mmrazor's ``DistanceWiseRKD`` and ``AngleWiseRKD`` take means over all
    pairs and triples in place of the sums; mmrazor's first divides each image by its norm. Both are
    ``mode='code'``.

    The channel counts may differ; no connector is needed.

    Args:
        loss_weight (float, str or dict): λ, at least 0, or ``'auto'``. Defaults to 1.0.
        distance_weight (float): λ_D, at least 0. Defaults to 25.0.
        angle_weight (float): λ_A, at least 0. Defaults to 50.0.
        mode (str): ``'paper'`` or ``'code'``. Defaults to ``'code'``.
        connector (dict or Connector, optional): Converts the student's feature map first. Defaults
            to None.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'rkd'
    measure = 'relation'
    title = 'Distance of the relations of images (RKD)'
    unit = 'distance of the relations'
    meaning = 'Lower: the images lie to each other as they do for the teacher.'

    def __init__(
        self,
        loss_weight: float | str | dict = 1.0,
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
        mode: str = 'code',
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        self.distance_weight = check_number('distance_weight', distance_weight, minimum=0)
        self.angle_weight = check_number('angle_weight', angle_weight, minimum=0)
        self.mode = check_choice('mode', mode, MODES)

    def distance(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        """Compute the weighted sum of the two distances, of the relations of 2 and of 3 images."""
        counted = None if mask is None else mask.flatten(1).any(1)
        relations = [self._relations(feature_map, counted) for feature_map in (student, teacher)]
        reduction = 'sum' if self.mode == 'paper' else 'mean'
        pairs, triples = (
            F.smooth_l1_loss(of_student, of_teacher, reduction=reduction)
            for of_student, of_teacher in zip(*relations)
        )
        return (self.distance_weight * pairs + self.angle_weight * triples).reshape(1)

    def _relations(self, feature_map: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
        """The distances of all pairs `(N, N)` and the cosines of all triples `(N, N, N)`.

        In each, what compares an image with itself, or with one that does not count `(N,)`, is 0,
        apart from the cosine of an image with itself as seen from another one, which is always 1.
        """
        rows = feature_map.flatten(1)
        if self.mode == 'code':
            rows = unit_vectors(rows, 1)
        rows = rows - rows.mean(0)  # differences do not depend on it, and round less
        gram = rows @ rows.T
        squares = gram.diagonal()
        apart = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        if counted is not None:
            apart = apart & counted & counted[:, None]
        squared = (squares[:, None] + squares - 2 * gram).masked_fill(~apart, 0)
        apart = apart & (squared > 0)
        root = torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
        mean = root.sum() / apart.sum().clamp(min=1)
        distances = root / torch.where(mean > 0, mean, 1.0)
        # (a, b, c): the inner product of the differences from a to b and from a to c.
        products = gram - gram[:, :, None] - gram[:, None, :] + squares[:, None, None]
        inverse = torch.where(apart, 1 / torch.where(apart, root, 1.0), 0.0)
        return distances, products * inverse[:, :, None] * inverse[:, None, :]

    def extra_repr(self) -> str:
        weights = f'distance_weight={self.distance_weight}, angle_weight={self.angle_weight}'
        return f'{super().extra_repr()}, {weights}, mode={self.mode!r}'

"""The loss of focal and global distillation."""

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from nst_det.config.validators import check_number
from nst_det.errors import UserError
from nst_det.models.losses.base import FeatureLoss
from nst_det.models.losses.connectors import Connector, run_in_own_type
from nst_det.models.losses.positions import (
    boxes_to_positions,
    count_positions,
    position_log_softmax,
)


class GlobalRelation(nn.Module):
    """Adds to every position what attention reads from all positions (FGD, R of section 3.2).

    Args:
        channels (int): C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.attention = nn.Conv2d(channels, 1, 1)
        self.change = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        nn.init.zeros_(self.change[-1].weight)
        nn.init.zeros_(self.change[-1].bias)

    def forward(self, feature_map: Tensor, mask: Tensor | None) -> Tensor:
        """Add the change to a feature map.

        Args:
            feature_map (Tensor): `(N, C, H, W)`.
            mask (Tensor, optional): The positions to read, `(N, 1, H, W)`, bool; None for all.

        Returns:
            Tensor: `(N, C, H, W)`.
        """
        attention = position_log_softmax(self.attention(feature_map), mask).exp()
        context = (feature_map.flatten(2) * attention).sum(2)
        return feature_map + self.change(context)[:, :, None, None]


@MODELS.register_module()
class FGDLoss(FeatureLoss):
    r"""Focal and global distillation, `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_ (Yang et al. 2022, section 3).

    .. math:: L = λ \cdot \frac{1}{N} \sum_n \Bigl(
        \sum_{c,i} (α M_i + β (1 - M_i)) S_i A^S_i A^C_c (F_T - F_S)_{c,i}^2
        + γ \bigl(‖A^S_T - A^S_S‖_1 + ‖A^C_T - A^C_S‖_1\bigr)
        + λ_G \sum_{c,i} (R(F_T) - R(F_S))_{c,i}^2 \Bigr)

    Its three lines are eqs. 9, 10 and 12 of the paper. M is 1 inside the ground-truth boxes. S is
    one over the number of positions of the box, of the smallest one where boxes overlap, or of the
    background. A^S and A^C are the attention of the teacher over the positions and over the
    channels: the softmax of the mean absolute activation over the temperature, times the number of
    positions or channels. R reads a global relation; both feature maps have one of their own,
    trained with the student and not in its checkpoint.

    The sums are the paper's and its code's, hence the small weights. The defaults are those for
    anchor-based one-stage detectors; two-stage detectors take α = γ = 5e-5, β = 2.5e-5 and
    λ_G = 5e-7 (section 4.2). The authors' code takes the positions of a box to be those that it
    touches and one more to the right and below; here they are those whose centre is inside.

    Args:
        loss_weight (float, str or dict): λ, a factor of all terms, at least 0, or ``'auto'``.
            Defaults to 1.0.
        foreground_weight (float): α, at least 0. Defaults to 1e-3.
        background_weight (float): β, at least 0. Defaults to 5e-4.
        attention_weight (float): γ, at least 0. Defaults to 1e-3.
        relation_weight (float): λ_G, at least 0. Defaults to 5e-6.
        temperature (float): That of the attention, greater than 0. Defaults to 0.5.
        connector (dict or Connector, optional): Converts the student's feature map first. Defaults
            to ``dict(type='ConvConnector')``, a 1×1 convolution if the channel counts differ.

    Raises:
        UserError: If an option is wrong.
    """

    method = 'fgd'
    measure = 'focal'
    title = 'Focal and global distance to the teacher (FGD)'
    unit = 'focal and global distance'
    meaning = 'Lower: the student is closer to the teacher on objects and where it attends.'
    pairs_channels = True
    needs_boxes = True

    def __init__(
        self,
        loss_weight: float | str | dict = 1.0,
        foreground_weight: float = 1e-3,
        background_weight: float = 5e-4,
        attention_weight: float = 1e-3,
        relation_weight: float = 5e-6,
        temperature: float = 0.5,
        connector: dict | Connector | None = None,
    ) -> None:
        super().__init__(loss_weight, connector)
        self.foreground_weight = check_number('foreground_weight', foreground_weight, minimum=0)
        self.background_weight = check_number('background_weight', background_weight, minimum=0)
        self.attention_weight = check_number('attention_weight', attention_weight, minimum=0)
        self.relation_weight = check_number('relation_weight', relation_weight, minimum=0)
        self.temperature = check_number('temperature', temperature, above=0)
        self.relations: nn.ModuleDict | None = None

    @property
    def needs_channels(self) -> bool:
        return self.relations is None or super().needs_channels

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        super().connect(student_channels, teacher_channels)
        self.relations = nn.ModuleDict(
            {role: GlobalRelation(teacher_channels) for role in ('student', 'teacher')}
        )

    def distance(
        self,
        student: Tensor,
        teacher: Tensor,
        mask: Tensor | None,
        boxes: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Compute the four terms of each image, with their weights inside.

        Args:
            student (Tensor): The student's feature map, after the connector, `(N, C, H, W)`.
            teacher (Tensor): The teacher's feature map, `(N, C, H, W)`.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool; None for all.
            boxes (Sequence[Tensor], optional): The ground-truth boxes of each image, `(G, 4)`, in
                positions of the feature map.

        Returns:
            Tensor: The value of each image, `(N,)`.

        Raises:
            UserError: If there are no boxes, or :meth:`connect` was not called.
        """
        if boxes is None or self.relations is None:
            missing = 'the ground-truth boxes' if boxes is None else 'a call of connect first'
            raise UserError(f'FGDLoss needs {missing}')
        positions, channels = self._attention(teacher, mask)
        student_positions, student_channels = self._attention(student, mask)
        masks = [None] * len(teacher) if mask is None else mask
        weights = torch.cat([self._scale(*image) for image in zip(boxes, teacher, masks)])
        squared = (student - teacher).square() * weights * positions * channels
        attention = (student_positions - positions).abs().sum((1, 2, 3))
        attention = attention + (student_channels - channels).abs().sum((1, 2, 3))
        related = [
            run_in_own_type(self.relations[role], feature_map, mask)
            for role, feature_map in (('student', student), ('teacher', teacher))
        ]
        relation = (related[0] - related[1]).square()
        if mask is not None:
            relation = relation.masked_fill(~mask, 0)
        return (
            squared.sum((1, 2, 3))
            + self.attention_weight * attention
            + self.relation_weight * relation.sum((1, 2, 3))
        )

    def _attention(self, feature_map: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The attention over the positions `(N, 1, H, W)` and over the channels `(N, C, 1, 1)`."""
        size = feature_map.abs()
        count = count_positions(feature_map, mask)[:, None, None, None]
        over_positions = size.mean(1, keepdim=True) / self.temperature
        positions = position_log_softmax(over_positions, mask).exp().view_as(over_positions)
        over_channels = size.sum((2, 3), keepdim=True) / count / self.temperature
        channels = size.shape[1] * over_channels.softmax(1)
        if mask is not None:
            positions = positions.masked_fill(~mask, 0)
            # The attention over the channels of an image without any position is nothing.
            channels = channels.masked_fill(~mask.flatten(1).any(1)[:, None, None, None], 0)
        return count * positions, channels

    def _scale(self, boxes: Tensor, image: Tensor, mask: Tensor | None) -> Tensor:
        """The weight of each position of an image, (α M + β (1 − M)) S, `(1, 1, H, W)`."""
        inside = boxes_to_positions(boxes.to(image.device), image.shape[1:])
        if mask is not None:
            inside = inside & mask
        areas = inside.sum((1, 2), keepdim=True).clamp(min=1).to(image.dtype)
        none = image.new_zeros(1, *image.shape[1:])
        foreground = torch.cat([none, inside / areas]).amax(0)
        is_background = foreground == 0
        if mask is not None:
            is_background = is_background & mask[0]
        background = is_background.to(image.dtype)
        background = background / background.sum().clamp(min=1)
        weight = self.foreground_weight * foreground + self.background_weight * background
        return weight[None, None]

    def extra_repr(self) -> str:
        names = ('foreground_weight', 'background_weight', 'attention_weight', 'relation_weight')
        weights = ', '.join(f'{name}={getattr(self, name)}' for name in names)
        return f'{super().extra_repr()}, {weights}, temperature={self.temperature}'

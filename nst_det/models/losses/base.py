"""The base classes of the losses: what a transfer, a chart or a table can ask of a loss."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from nst_det.config.options import build_part
from nst_det.models.losses.auto_weight import read_weight
from nst_det.models.losses.connectors import Connector
from nst_det.models.losses.match_features import match_features

Compared = Literal['features', 'logits', 'distributions', 'cross-head', 'queries']


class TransferLoss(nn.Module):
    """A loss that makes a student more like its teacher.

    To write your own loss, derive a class from :class:`FeatureLoss` or :class:`LogitLoss`.

    Attributes:
        compares (str): ``'features'``: two feature maps. ``'logits'``: the class logits of two
            heads. ``'distributions'``: the distributions of the edges of boxes. ``'cross-head'``:
            predictions of the teacher's head. ``'queries'``: the predictions of queries.
        method (str): The short name of the method. The key of the loss is ``loss_<method>_…``.
        measure (str): The log key of the value without its weight is ``<measure>_…``.
        title (str): The title of a chart of that value.
        unit (str): The name of that value, for an axis or a column.
        meaning (str): What a lower value means, in one sentence.
        coefficient (float): The loss is ``loss_weight * coefficient`` times that value.
        target_ratio (float): The gradient ratio that ``loss_weight='auto'`` aims at.

    Args:
        loss_weight (float, str or dict): The weight λ of the loss, at least 0. ``'auto'`` measures
            it in the first iterations: see :class:`AutoWeight`. ``'auto:5'`` aims at the ratio 5
            instead of ``target_ratio``; ``dict(ratio=…, iterations=…)`` also sets the number of
            iterations, which is 50 otherwise.

    Raises:
        UserError: If the weight is none of these.
    """

    compares: Compared
    method: str
    measure: str
    title: str = 'Distance to the teacher'
    unit: str = 'distance'
    meaning: str = 'Lower: the student is closer to the teacher.'
    coefficient: float = 1.0
    target_ratio: float = 20.0

    def __init__(self, loss_weight: float | str | dict) -> None:
        super().__init__()
        self.loss_weight, self.auto_weight = read_weight(loss_weight, self.target_ratio)

    @property
    def needs_channels(self) -> bool:
        """bool: Whether :meth:`connect` must be called before the optimizer is built."""
        return False

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        """Build what depends on the channel counts. By default there is nothing to build.

        Args:
            student_channels (int): C_S, the channels of the student's feature map.
            teacher_channels (int): C_T, the channels of the teacher's feature map.
        """

    def extra_repr(self) -> str:
        return f'loss_weight={self.auto_weight or self.loss_weight}'


class FeatureLoss(TransferLoss):
    """A loss between a feature map of the student and one of the teacher.

    To write your own loss, derive a class from this one, set ``method`` and ``measure``, implement
    :meth:`distance` and register the class in ``mmdet.registry.MODELS``. A class that overrides
    :meth:`forward` instead has to apply its connector itself.

    Args:
        loss_weight (float, str or dict): The weight of the loss: see :class:`TransferLoss`.
        connector (dict or Connector, optional): Converts the student's feature map before it is
            compared, such as ``dict(type='ConvConnector')``. It is trained with the student, and
            resumed with its training, but is not in the student's checkpoint. Defaults to None.

    Attributes:
        pairs_channels (bool): Whether a channel of the student is compared with the same channel of
            the teacher. Then ``connector`` defaults to ``dict(type='ConvConnector')``, a 1×1
            convolution if the channel counts differ.
        needs_boxes (bool): Whether :meth:`distance` takes the ground-truth boxes as well.

    Raises:
        UserError: If an option is wrong.
    """

    compares = 'features'
    pairs_channels: bool = False
    needs_boxes: bool = False

    def __init__(
        self, loss_weight: float | str | dict, connector: dict | Connector | None = None
    ) -> None:
        super().__init__(loss_weight)
        if connector is None and self.pairs_channels:
            connector = dict(type='ConvConnector')
        self.connector: Connector | None = None
        if connector is not None:
            self.connector = build_part(connector, Connector, 'connector')

    @property
    def needs_channels(self) -> bool:
        return self.connector is not None and self.connector.needs_channels

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        if self.connector is not None and self.connector.needs_channels:
            self.connector.connect(student_channels, teacher_channels)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        mask: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Compute the weighted mean over the images of :meth:`distance`.

        It is computed in float32 (float64 for such inputs), also inside autocast.

        Args:
            student (Tensor): The student's feature map, `(N, C_S, H, W)`.
            teacher (Tensor): The teacher's feature map, `(N, C_T, H', W')`; interpolated to H × W
                if its size differs.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool. An image
                without any adds 0. Defaults to None, all of them.
            boxes (Sequence[Tensor], optional): The ground-truth boxes of each image, `(G, 4)`:
                left, top, right and bottom in positions of the feature map, for a loss that needs
                them. Defaults to None.

        Returns:
            Tensor: The loss, a scalar.

        Raises:
            UserError: If the connector is not made for these feature maps.
            ValueError: If a feature map is not 4-dimensional or the batch sizes differ.
        """
        with torch.autocast(student.device.type, enabled=False):
            student, teacher = match_features(student, teacher, mask)
            if self.connector is not None:
                student = self.connector(student, teacher.shape[1], mask)
                if mask is not None:  # a bias changes the zeros outside the mask
                    student = student.masked_fill(~mask, 0)
            known = (boxes,) if self.needs_boxes else ()
            distance = self.distance(student, teacher, mask, *known)
        return self.loss_weight * self.coefficient * distance.mean()

    def distance(
        self, student: Tensor, teacher: Tensor, mask: Tensor | None, *boxes: Any
    ) -> Tensor:
        """Compute what the loss measures, without its weight.

        Args:
            student (Tensor): The student's feature map, after the connector, `(N, C_S, H, W)`; 0
                outside the mask.
            teacher (Tensor): The teacher's feature map, `(N, C_T, H, W)`, of the same type; 0
                outside the mask.
            mask (Tensor, optional): The positions that count, `(N, 1, H, W)`, bool; None for all.
                An image may have none.

        Returns:
            Tensor: The value of each image, `(N,)`; of a loss that compares images with each other,
            one value, `(1,)`.
        """
        raise NotImplementedError


class LogitLoss(TransferLoss):
    """A loss between the logits of the student and those of the teacher, or other predictions.

    To write your own loss, derive a class from this one, set ``method`` and ``measure``, implement
    ``forward(student, teacher, sigmoid, regions=None)`` as :meth:`KDLoss.forward` does, and
    register the class in ``mmdet.registry.MODELS``. Set ``compares`` for other predictions than
    class logits.
    """

    compares: Compared = 'logits'
    target_ratio = 1.0


def loss_classes() -> list[type[TransferLoss]]:
    """List the registered classes of losses, those of the user included.

    Charts and tables read ``measure``, ``title``, ``unit`` and ``meaning`` of them.

    Returns:
        list[type[TransferLoss]]: The classes in the order of their registration.
    """
    registered = MODELS.module_dict.values()
    return [cls for cls in registered if isinstance(cls, type) and issubclass(cls, TransferLoss)]

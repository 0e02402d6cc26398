"""The base classes of all losses: what a transfer, a chart and a table can ask of them."""

import sys
from typing import Literal

from mmdet.registry import MODELS
from torch import nn

from nst_det.errors import UserError


class TransferLoss(nn.Module):
    """A loss that makes a student more like its teacher.

    A loss of your own subclasses :class:`FeatureLoss` or :class:`LogitLoss`.

    Attributes:
        compares (str): ``'features'``: two feature maps; ``'logits'``: the class scores of two
            heads, before softmax or sigmoid.
        method (str): The short name of the method. The key of the loss is ``loss_<method>_…``.
        measure (str): The log key of the value without its weight is ``<measure>_…``.
        title (str): The title of a chart of that value.
        unit (str): The name of that value, for an axis or a column.
        meaning (str): What a lower value means, in one sentence.
        coefficient (float): The loss is ``loss_weight * coefficient`` times that value.

    Args:
        loss_weight (float): The weight of the loss, at least 0.

    Raises:
        UserError: If the weight is not a finite number of at least 0.
    """

    compares: Literal['features', 'logits']
    method: str
    measure: str
    title: str = 'Distance to the teacher'
    unit: str = 'distance'
    meaning: str = 'Lower: the student is closer to the teacher.'
    coefficient: float = 1.0

    def __init__(self, loss_weight: float) -> None:
        super().__init__()
        self.loss_weight = self._number('loss_weight', loss_weight)

    @property
    def needs_channels(self) -> bool:
        """bool: Whether :meth:`connect` must be called before the optimizer is built."""
        return False

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        """Build what depends on the channel counts. By default there is nothing to build.

        Args:
            student_channels (int): C_S, of the feature map of the student.
            teacher_channels (int): C_T, of the feature map of the teacher.
        """

    def _number(self, option: str, value: float, above: float | None = None) -> float:
        """Check an option that has to be a finite number of at least 0, or above a bound."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        in_range = number and (value >= 0 if above is None else value > above)
        if not (in_range and value <= sys.float_info.max):
            wanted = 'of at least 0' if above is None else f'greater than {above:g}'
            raise UserError(
                f'{type(self).__name__}: {option} is {value!r}, expected a number {wanted}'
            )
        return value

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}'


class FeatureLoss(TransferLoss):
    """A loss between a feature map of the student and one of the teacher.

    A loss of your own subclasses this, sets ``method`` and ``measure``, registers itself into
    ``mmdet.registry.MODELS`` and implements ``forward(student, teacher, mask=None)``: feature maps
    `(N, C_S, H, W)` and `(N, C_T, H', W')` and the positions that count, `(N, 1, H, W)`, bool; it
    returns a scalar.
    """

    compares = 'features'


class LogitLoss(TransferLoss):
    """A loss between the class scores of the student and of the teacher.

    A loss of your own subclasses this, sets ``method`` and ``measure``, registers itself into
    ``mmdet.registry.MODELS`` and implements ``forward(student, teacher, sigmoid, regions=None)``:
    class scores `(R, K)` of the same R regions before softmax or sigmoid, whether each class has
    its own sigmoid, and what the sum over the regions is divided by (R by default); it returns a
    scalar.
    """

    compares = 'logits'


def loss_classes() -> list[type[TransferLoss]]:
    """List the registered classes of losses, those of the user included.

    Charts and tables read ``measure``, ``title``, ``unit`` and ``meaning`` of them.

    Returns:
        list[type[TransferLoss]]: The classes in the order of their registration.
    """
    registered = MODELS.module_dict.values()
    return [cls for cls in registered if isinstance(cls, type) and issubclass(cls, TransferLoss)]

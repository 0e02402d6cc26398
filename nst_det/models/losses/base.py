"""What every loss of a transfer has: a weight, and a name for what it measures."""

import sys

from torch import nn

from nst_det.errors import UserError


class TransferLoss(nn.Module):
    """A loss that makes a student like its teacher.

    Attributes:
        method (str): The method's short name, in the loss's key: ``loss_<method>_…``.
        measure (str): What the log calls the loss without its weight: ``<measure>_…``.
        coefficient (float): The loss is ``loss_weight * coefficient`` times that measure.

    Args:
        loss_weight (float): The method's weight, at least 0.

    Raises:
        UserError: Where the weight is no such number.
    """

    method: str
    measure: str
    coefficient: float = 1.0

    def __init__(self, loss_weight: float) -> None:
        super().__init__()
        self.loss_weight = self._number('loss_weight', loss_weight)

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
    """A loss between a map of the student's and one of the teacher's.

    One of your own subclasses this, registers itself into ``mmdet.registry.MODELS`` and implements
    ``forward(student, teacher, mask=None)``: maps `(N, C_S, H, W)` and `(N, C_T, H', W')` and the
    positions that count, `(N, 1, H, W)`, bool; it gives a scalar.
    """

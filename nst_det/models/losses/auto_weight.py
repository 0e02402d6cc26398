"""A weight of a loss that is measured in the first iterations of a training."""

import math
import statistics
from typing import Any

from nst_det.config.options import check_keys
from nst_det.config.validators import check_integer, check_number, wrong_value
from nst_det.errors import UserError

AUTO = 'auto'
ITERATIONS = 50


class AutoWeight:
    """Sets λ so that the gradient of a loss is a given multiple of the detection gradient.

    In each of the first iterations the norm of the loss's gradient at λ = 1 is divided by the norm
    of the gradient of the detection losses, both at the tensor that the loss compares. λ is the
    wanted ratio over the median of the ratios so far, and is kept after the last of these
    iterations.

    Args:
        ratio (float): The wanted ratio, above 0.
        iterations (int): The number of iterations that are measured. Defaults to 50.

    Attributes:
        ratios (list[float]): The ratios at λ = 1, one for each measured iteration.

    Raises:
        UserError: If an argument is not valid.
    """

    def __init__(self, ratio: float, iterations: int = ITERATIONS) -> None:
        self.ratio = check_number('loss_weight.ratio', ratio, above=0)
        self.iterations = check_integer('loss_weight.iterations', iterations, minimum=1)
        self.ratios: list[float] = []

    @property
    def complete(self) -> bool:
        """bool: Whether λ is final."""
        return len(self.ratios) >= self.iterations

    @property
    def weight(self) -> float | None:
        """float or None: λ from the ratios so far; None if none of them is finite and above 0."""
        usable = [ratio for ratio in self.ratios if 0 < ratio < math.inf]
        return self.ratio / statistics.median(usable) if usable else None

    def __repr__(self) -> str:
        return f'{AUTO}, ratio={self.ratio:g}, iterations={self.iterations}'


def read_weight(value: Any, ratio: float) -> tuple[float, AutoWeight | None]:
    """Read the option ``loss_weight`` of a loss.

    Args:
        value (Any): A number; ``'auto'``; ``'auto:5'``, which is ``'auto'`` with the ratio 5; or
            ``dict(ratio=…, iterations=…)``, with another ratio or number of iterations.
        ratio (float): The gradient ratio that ``'auto'`` means.

    Returns:
        tuple[float, AutoWeight | None]: The number and None; or 1 and what will replace it.

    Raises:
        UserError: If it is anything else.
    """
    if value == AUTO:
        return 1.0, AutoWeight(ratio)
    if isinstance(value, str) and value.startswith(f'{AUTO}:'):
        try:
            return 1.0, AutoWeight(float(value.removeprefix(f'{AUTO}:')))
        except ValueError:  # UserError is one, too
            pass
    if isinstance(value, dict):
        check_keys(value, ['ratio', 'iterations'], 'loss_weight')
        return 1.0, AutoWeight(**{'ratio': ratio, **value})
    try:
        return check_number('loss_weight', value, minimum=0), None
    except UserError as error:
        if not isinstance(value, str):
            raise
        raise wrong_value(
            'loss_weight',
            value,
            f'a number of at least 0, {AUTO!r}, {AUTO + ":5"!r} or dict(ratio=…)',
        ) from error

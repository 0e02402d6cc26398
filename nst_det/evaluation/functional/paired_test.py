"""The paired t-test of a gain over a baseline, paired by seed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from nst_det.errors import UserError

ROUNDING = 1e-12  # relative; differences that are closer than this are equal


@dataclass
class PairedGain:
    """The gain of a method over a baseline, over the seeds that both were trained with.

    Args:
        mean (float): The mean of the differences.
        interval (tuple[float, float] or None): The confidence interval of the mean. None with one
            seed.
        p_value (float or None): The p-value of the two-sided paired t-test. None with one seed.
        confidence (float): The confidence of the interval, such as 0.95.
        seeds (int): The number of pairs.
        higher_is_better (bool): Whether a positive gain is an improvement. Defaults to True.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    confidence: float
    seeds: int
    higher_is_better: bool = True

    @property
    def distinguishable(self) -> bool:
        """bool: Whether there is an interval and 0 is outside it."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    @property
    def verdict(self) -> str:
        """str: The conclusion in words."""
        if self.interval is None:
            return 'one seed: no interval'
        if not self.distinguishable:
            return 'not distinguishable from the baseline'
        better = self.mean > 0 if self.higher_is_better else self.mean < 0
        return 'better than the baseline' if better else 'worse than the baseline'


def paired_gain(
    method: Sequence[float],
    baseline: Sequence[float],
    confidence: float = 0.95,
    higher_is_better: bool = True,
) -> PairedGain:
    """Compute the gain with the interval and the p-value of the paired t-test (Student 1908).

    With d the differences of n seeds, the interval is mean(d) ± t · std(d) / √n, where t is the
    (1 + confidence) / 2 quantile of Student's t distribution with n − 1 degrees of freedom. It
    assumes that the differences are normally distributed.

    Args:
        method (Sequence[float]): The value of the method for each seed.
        baseline (Sequence[float]): The value of the baseline for the same seeds in the same order.
        confidence (float): The confidence of the interval, between 0 and 1. Defaults to 0.95.
        higher_is_better (bool): The direction of the values. Defaults to True.

    Returns:
        PairedGain: The gain.

    Raises:
        UserError: If the numbers of values differ, there are none, or the confidence is out of
            range.
    """
    if len(method) != len(baseline) or not method:
        raise UserError(
            f'a paired gain needs the same seeds of both, got {len(method)} values of the method '
            f'and {len(baseline)} of the baseline'
        )
    if not 0 < confidence < 1:
        raise UserError(f'confidence is {confidence}, expected a number between 0 and 1')
    differences = [value - base for value, base in zip(method, baseline)]
    smallest = ROUNDING * max(map(abs, (*method, *baseline)))
    mean = statistics.fmean(differences)
    mean = 0.0 if abs(mean) <= smallest else mean
    seeds = len(differences)
    interval, p_value = None, None
    if seeds > 1 and max(differences) - min(differences) <= smallest:
        # The t-test would divide by a spread of 0, or by rounding errors.
        interval, p_value = (mean, mean), float(mean == 0)
    elif seeds > 1:
        from scipy import stats  # it takes half a second to import

        test = stats.ttest_rel(method, baseline)
        low, high = test.confidence_interval(confidence)
        interval, p_value = (float(low), float(high)), float(test.pvalue)
    return PairedGain(mean, interval, p_value, confidence, seeds, higher_is_better)

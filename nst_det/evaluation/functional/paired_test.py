"""How sure a gain over the baseline is, seed by seed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from nst_det.errors import UserError


@dataclass
class PairedGain:
    """What a method gains over the baseline, over the seeds that both were trained with.

    Args:
        mean (float): The mean of the differences.
        interval (tuple[float, float] or None): Its confidence interval; None with one seed.
        p_value (float or None): Of the two-sided paired t-test; None with one seed.
        confidence (float): Of the interval, such as 0.95.
        seeds (int): How many pairs there are.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    confidence: float
    seeds: int

    @property
    def distinguishable(self) -> bool:
        """bool: Whether there is an interval, and 0 is outside it."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    @property
    def verdict(self) -> str:
        """str: What the figures say, in plain words."""
        if self.interval is None:
            return 'one seed: no interval can be had'
        if not self.distinguishable:
            return 'not distinguishable from the baseline'
        return 'better than the baseline' if self.mean > 0 else 'worse than the baseline'


def paired_gain(
    method: Sequence[float], baseline: Sequence[float], confidence: float = 0.95
) -> PairedGain:
    """Student's t-interval and test of the differences of paired values (Student 1908).

    With d the differences of n seeds, the interval is mean(d) ± t · std(d) / √n, where t is the
    (1 + confidence) / 2 quantile of Student's t distribution with n − 1 degrees of freedom. It
    takes the differences to be normally distributed.

    Args:
        method (Sequence[float]): The method's value of each seed.
        baseline (Sequence[float]): The baseline's, of the same seeds in the same order.
        confidence (float): Of the interval, between 0 and 1. Defaults to 0.95.

    Returns:
        PairedGain: The gain.

    Raises:
        UserError: Where the values do not pair up, there are none, or the confidence is out of
            range.
    """
    if len(method) != len(baseline) or not method:
        raise UserError(
            f'a paired gain needs the same seeds of both, got {len(method)} values of the method '
            f'and {len(baseline)} of the baseline'
        )
    if not 0 < confidence < 1:
        raise UserError(f'confidence is {confidence}, expected a number between 0 and 1')
    differences = [one - other for one, other in zip(method, baseline)]
    mean = statistics.fmean(differences)
    seeds = len(differences)
    if seeds == 1:
        return PairedGain(mean, None, None, confidence, seeds)
    if len(set(differences)) == 1:  # no spread, of which the test's ratio could be taken
        return PairedGain(mean, (mean, mean), float(mean == 0), confidence, seeds)
    test = stats.ttest_rel(method, baseline)
    low, high = test.confidence_interval(confidence)
    return PairedGain(mean, (float(low), float(high)), float(test.pvalue), confidence, seeds)

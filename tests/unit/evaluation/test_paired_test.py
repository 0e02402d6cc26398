"""The paired t-test of a gain over a baseline."""

import math

import numpy as np
import pytest
from scipy import stats

from nst_det.errors import UserError
from nst_det.evaluation import paired_gain


def test_the_interval_of_three_seeds_is_that_computed_by_hand():
    # Differences 1, 2 and 3: mean 2, std 1, and t = 4.302652729911275 of 2 degrees of freedom.
    gain = paired_gain([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    half = 4.302652729911275 / math.sqrt(3)
    assert gain.mean == pytest.approx(2)
    assert gain.interval == pytest.approx((2 - half, 2 + half))
    assert gain.verdict == 'not distinguishable from the baseline'


def test_the_interval_of_two_seeds_has_the_quantiles_of_cauchy():
    # With one degree of freedom, t is tan(π · 0.95 / 2).
    gain = paired_gain([3.0, 5.0], [1.0, 1.0])
    half = math.tan(math.pi * 0.475) * math.sqrt(2) / math.sqrt(2)
    assert gain.interval == pytest.approx((3 - half, 3 + half))


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('confidence', [0.8, 0.95, 0.99])
def test_the_interval_contains_zero_exactly_if_the_t_test_does_not_reject(seed, confidence):
    rng = np.random.default_rng(seed)
    baseline = rng.normal(20, 3, 6)
    method = baseline + rng.normal(1, 1.5, 6)
    gain = paired_gain(list(method), list(baseline), confidence)
    test = stats.ttest_rel(method, baseline)
    assert gain.p_value == pytest.approx(test.pvalue)
    assert gain.distinguishable == (test.pvalue < 1 - confidence)


def test_the_interval_contains_the_true_gain_in_95_percent_of_cases():
    rng = np.random.default_rng(0)
    baseline = rng.normal(20, 3, (2000, 5))
    method = baseline + rng.normal(1, 1.5, (2000, 5))
    intervals = [paired_gain(list(m), list(b)).interval for m, b in zip(method, baseline)]
    assert np.mean([low <= 1 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ('method', 'verdict'),
    [
        ([2.0, 3.1, 4.0], 'better than the baseline'),
        ([0.0, 1.1, 2.0], 'worse than the baseline'),
        ([1.0, 2.0, 3.0], 'not distinguishable from the baseline'),
    ],
)
def test_the_verdict_in_plain_words(method, verdict):
    assert paired_gain(method, [1.0, 2.0, 3.0]).verdict == verdict


def test_the_gain_of_one_seed_has_no_interval():
    gain = paired_gain([30.0], [20.0])
    assert (gain.mean, gain.interval, gain.p_value) == (10, None, None)
    assert not gain.distinguishable
    assert 'no interval' in gain.verdict


def test_paired_gain_refuses_values_that_do_not_pair_up():
    with pytest.raises(UserError, match='the same seeds of both, got 2 values of the method and 1'):
        paired_gain([1.0, 2.0], [1.0])


def test_paired_gain_refuses_a_confidence_in_percent():
    with pytest.raises(UserError, match='between 0 and 1'):
        paired_gain([1.0, 2.0], [1.0, 1.0], confidence=95)


def test_a_lower_value_is_better_if_the_metric_says_so():
    lower = paired_gain([2.0, 3.1, 4.0], [1.0, 1.9, 3.0], higher_is_better=False)
    assert lower.verdict == 'worse than the baseline'
    assert paired_gain([0.0, 1.1, 2.0], [1.0, 2.0, 3.0], 0.95, False).mean < 0
    assert paired_gain([0.0, 1.1, 2.0], [1.0, 2.0, 3.0], 0.95, False).verdict.startswith('better')


def test_differences_that_are_equal_but_for_rounding_have_no_spread():
    gain = paired_gain([0.1 + 0.2, 1.1 + 0.2, 5.0], [0.2, 1.2, 4.9])
    assert gain.interval == (gain.mean, gain.mean)
    assert gain.p_value == 0


def test_values_that_are_equal_but_for_rounding_have_no_gain():
    gain = paired_gain([0.1 + 0.2, 1.1], [0.3, 1.1])
    assert (gain.mean, gain.p_value) == (0, 1)
    assert gain.verdict == 'not distinguishable from the baseline'

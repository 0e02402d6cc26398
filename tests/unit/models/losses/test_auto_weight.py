"""loss_weight='auto' is a wanted gradient ratio, and the ratios that were measured so far."""

import math

import pytest

from nst_det.errors import UserError
from nst_det.models.losses import KDLoss, NSTLoss
from nst_det.models.losses.auto_weight import AutoWeight


def test_a_number_is_the_weight_itself():
    loss = NSTLoss(loss_weight=3.0)
    assert (loss.loss_weight, loss.auto_weight) == (3.0, None)


@pytest.mark.parametrize(
    ('option', 'ratio', 'iterations'),
    [
        ('auto', NSTLoss.target_ratio, 50),
        ('auto:5', 5, 50),
        (dict(ratio=5), 5, 50),
        (dict(iterations=8), NSTLoss.target_ratio, 8),
        (dict(ratio=0.5, iterations=1), 0.5, 1),
    ],
)
def test_auto_has_a_ratio_and_a_number_of_iterations(option, ratio, iterations):
    auto = NSTLoss(loss_weight=option).auto_weight
    assert (auto.ratio, auto.iterations) == (ratio, iterations)


def test_logits_pull_no_more_than_the_labels_do():
    assert KDLoss(loss_weight='auto').auto_weight.ratio == 1


def test_the_weight_is_the_wanted_ratio_over_the_median():
    auto = AutoWeight(10.0, iterations=5)
    weights = []
    for ratio in (0.1, 0.4, 0.2, math.inf, math.nan):
        auto.ratios.append(ratio)
        weights.append(auto.weight)

    assert weights == pytest.approx([100, 40, 50, 50, 50])
    assert auto.complete


def test_without_a_usable_ratio_there_is_no_weight():
    auto = AutoWeight(10.0, iterations=3)
    auto.ratios = [0.0, math.inf, math.nan]
    assert auto.weight is None


@pytest.mark.parametrize(
    ('option', 'where'),
    [
        ('automatic', 'loss_weight'),
        ('auto:many', 'loss_weight'),
        ('auto:-1', 'loss_weight'),
        (dict(ratios=3), 'loss_weight.ratios'),
        (dict(ratio=0), 'loss_weight.ratio'),
        (dict(iterations=0), 'loss_weight.iterations'),
        (-1.0, 'loss_weight'),
        (True, 'loss_weight'),
    ],
)
def test_anything_else_is_refused(option, where):
    with pytest.raises(UserError) as error:
        NSTLoss(loss_weight=option)
    assert error.value.option == where

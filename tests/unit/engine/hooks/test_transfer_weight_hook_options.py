"""The schedule and the options of TransferWeightHook."""

import pytest

from nst_det.engine import TransferWeightHook
from nst_det.errors import UserError


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(warmup=4), {0: 0, 1: 0.25, 3: 0.75, 4: 1, 1000: 1}),
        (dict(warmup=4, start_factor=0.5), {0: 0.5, 2: 0.75, 4: 1}),
        (dict(decay=(2, 4)), {0: 1, 2: 1, 3: 0.5, 4: 0, 5: 0}),
        (dict(decay=(0, 4), end_factor=0.2), {0: 1, 2: 0.6, 4: 0.2, 9: 0.2}),
        (dict(decay=(0, 3), curve='cosine'), {0: 1, 1: 0.75, 2: 0.25, 3: 0}),
        (dict(stop=3), {0: 1, 2: 1, 3: 0, 9: 0}),
        (
            dict(warmup=2, decay=(2, 4), end_factor=0.5, stop=6),
            {0: 0, 1: 0.5, 2: 1, 3: 0.75, 4: 0.5, 5: 0.5, 6: 0},
        ),
    ],
)
def test_transfer_weight_hook_computes_the_factor_of_an_iteration(options, expected):
    hook = TransferWeightHook(**options)
    assert {time: hook.factor(time) for time in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ('options', 'option'),
    [
        (dict(warmup=-1), 'warmup'),
        (dict(warmup='500'), 'warmup'),
        (dict(warmup=True), 'warmup'),
        (dict(warmup=5, start_factor=1.5), 'start_factor'),
        (dict(start_factor=0.5, stop=3), 'start_factor'),
        (dict(decay=1000), 'decay'),
        (dict(decay=(1, 2, 3)), 'decay'),
        (dict(decay=(4, 9), curve='cosin'), 'curve'),
        (dict(warmup=5, end_factor=0.1), 'end_factor'),
        (dict(warmup=5, curve='cosine'), 'curve'),
        (dict(stop=5, by_epoch=1), 'by_epoch'),
        (dict(stop=5, transfers='backbone'), 'transfers'),
        (dict(stop=5, transfers=[]), 'transfers'),
        (dict(stop=5, transfers=[5]), 'transfers'),
        (dict(stopp=5), 'stopp'),
    ],
)
def test_transfer_weight_hook_names_a_wrong_option(options, option):
    with pytest.raises(UserError, match='^[^\n]*$') as caught:
        TransferWeightHook(**options)
    assert caught.value.option == option


@pytest.mark.parametrize(
    'options',
    [
        dict(decay=(4, 2)),
        dict(decay=(4, 4)),
        dict(warmup=5, decay=(4, 9)),
        dict(decay=(4, 9), stop=5),
        dict(warmup=5, stop=3),
    ],
)
def test_transfer_weight_hook_refuses_times_that_are_not_in_order(options):
    with pytest.raises(UserError, match='not in order'):
        TransferWeightHook(**options)


def test_transfer_weight_hook_refuses_a_schedule_that_changes_nothing():
    with pytest.raises(UserError, match='no warmup, decay or stop'):
        TransferWeightHook()

"""The checks of option values: each returns the value or names the option in one clear line."""

import math

import pytest

from nst_det.config.validators import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_path,
    check_typed_dict,
)
from nst_det.errors import UserError


def message(check, *args, **kwargs):
    with pytest.raises(UserError, match='^[^\n]*$') as caught:
        check('loss.option', *args, **kwargs)
    assert caught.value.option == 'loss.option'
    return str(caught.value)


@pytest.mark.parametrize('value', [0, 2, 0.5, 1e300, 10**300])
def test_a_finite_number_in_range_is_returned_as_it_is(value):
    assert check_number('option', value, minimum=0) is value


@pytest.mark.parametrize(
    'value', [True, '1', None, [1], 1j, math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=str
)
def test_anything_but_a_finite_number_is_refused(value):
    assert 'expected a number' in message(check_number, value)


@pytest.mark.parametrize(
    ('limits', 'value', 'expected'),
    [
        (dict(minimum=0), -1e-9, 'a number of at least 0'),
        (dict(above=0), 0, 'a number greater than 0'),
        (dict(maximum=1), 1.5, 'a number of at most 1'),
        (dict(minimum=0, maximum=1), 2, 'a number from 0 to 1'),
        (dict(above=0, hint=', or None'), -1, 'a number greater than 0, or None'),
    ],
    ids=str,
)
def test_a_number_out_of_range_is_told_the_range(limits, value, expected):
    assert message(check_number, value, **limits) == f'loss.option is {value}, expected {expected}'


@pytest.mark.parametrize('value', [True, 1.0, '1', None, math.nan])
def test_anything_but_a_whole_number_is_refused(value):
    assert 'expected a whole number' in message(check_integer, value)


@pytest.mark.parametrize('value', [0, 65537])
def test_a_whole_number_out_of_range_is_told_the_range(value):
    assert message(check_integer, value, 1, 65536).endswith(
        'expected a whole number from 1 to 65536'
    )


def test_a_whole_number_at_either_end_of_its_range_is_returned():
    assert [check_integer('option', value, 1, 4) for value in (1, 4)] == [1, 4]


@pytest.mark.parametrize('value', [0, 1, 'True', None])
def test_a_flag_is_true_or_false_and_nothing_like_it(value):
    assert message(check_flag, value).endswith('expected True or False')


def test_a_flag_is_returned():
    assert check_flag('option', True) is True
    assert check_flag('option', False) is False


@pytest.mark.parametrize('value', ['linaer', True, 1.0, [], {}])
def test_a_choice_is_of_the_same_type_as_the_allowed_one(value):
    line = message(check_choice, value, ('linear', 1, None))
    assert line.endswith("expected 'linear', 1 or None")


@pytest.mark.parametrize('value', ['linear', 1, None])
def test_an_allowed_choice_is_returned(value):
    assert check_choice('option', value, ('linear', 1, None)) == value


@pytest.mark.parametrize('value', ['', None, 5, b'a.pth'])
def test_a_path_is_a_text_that_is_not_empty(value):
    assert message(check_path, value).endswith('expected a path')


def test_a_path_is_returned(tmp_path):
    assert check_path('option', tmp_path) == tmp_path


@pytest.mark.parametrize('value', [None, 'BN', {}, [('type', 'BN')]])
def test_a_part_is_a_dict_with_a_type(value):
    assert message(check_typed_dict, value).endswith('expected a dict with a type')


def test_a_value_of_many_lines_is_shown_in_one_and_cut():
    line = message(check_number, 'a\nb' * 99)
    assert len(line) < 130

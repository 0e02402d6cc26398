"""What counts as equal when a graph is compared with its detector."""

import numpy as np
import pytest

from nst_det.export.compare import Found, Limits, compare

LIMITS = Limits(score_thr=0.05, most=100)


def found(boxes, scores, labels=None, masks=None):
    labels = labels if labels is not None else [0] * len(scores)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Found(boxes, np.array(scores, np.float32), np.array(labels), masks)


FIRST, SECOND, THIRD = [0, 0, 8, 8], [20, 20, 40, 40], [50, 5, 60, 30]
TWO = found([FIRST, SECOND], [0.9, 0.6], [0, 1])


def test_the_order_does_not_matter():
    result = compare(TWO, found([SECOND, FIRST], [0.6, 0.9], [1, 0]), LIMITS)
    assert result.verdict == 'equal'
    assert result.matched == 2


@pytest.mark.parametrize(
    'given',
    [
        found([FIRST, [20, 20, 40, 41]], [0.9, 0.6], [0, 1]),
        found([FIRST, SECOND], [0.9, 0.62], [0, 1]),
        found([FIRST, SECOND], [0.9, 0.6], [0, 0]),
        found([FIRST], [0.9]),
        found([FIRST, SECOND, THIRD], [0.9, 0.6, 0.3], [0, 1, 0]),
        found([], []),
    ],
    ids=['a box', 'a score', 'a label', 'one less', 'one more', 'nothing'],
)
def test_what_differs_is_found(given):
    assert compare(TWO, given, LIMITS).verdict == 'differs'


def test_nothing_equals_nothing():
    assert compare(found([], []), found([], []), LIMITS).verdict == 'equal'


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('where', ['both', 'graph'])
def test_nan_is_no_tie_and_equals_nothing(value, where):
    broken = found([FIRST, SECOND], [0.9, value], [0, 1])
    result = compare(broken if where == 'both' else TWO, broken, LIMITS)
    assert result.verdict == 'differs'
    assert any('the graph gives NaN' in text for text in result.wrong)


def test_of_two_boxes_with_one_score_either_may_be_kept():
    expected = found([FIRST, SECOND, THIRD], [0.9, 0.4, 0.4])
    given = found([FIRST, SECOND, [70, 70, 90, 90]], [0.9, 0.4, 0.4])
    result = compare(expected, given, LIMITS)
    assert result.verdict == 'equal but for ties'
    assert (result.matched, result.ties) == (2, 2)


@pytest.mark.parametrize('lost', [True, False])
def test_a_box_that_only_one_side_has_is_no_tie_with_a_box_that_both_have(lost):
    two, one = found([FIRST, SECOND], [0.9, 0.9]), found([FIRST], [0.9])
    assert compare(*((two, one) if lost else (one, two)), LIMITS).verdict == 'differs'


def test_a_wrong_box_of_a_score_of_its_own_is_no_tie():
    given = found([FIRST, [25, 20, 45, 40]], [0.9, 0.6], [0, 1])
    assert compare(TWO, given, LIMITS).verdict == 'differs'


def test_a_score_at_the_threshold_may_be_on_either_side():
    given = found([FIRST, SECOND, THIRD], [0.9, 0.6, 0.0500001], [0, 1, 0])
    assert compare(TWO, given, LIMITS).verdict == 'equal but for ties'


def test_the_last_of_a_full_image_may_be_another_one_of_its_score():
    given = found([FIRST, THIRD], [0.9, 0.6], [0, 1])
    assert compare(TWO, given, Limits(0.05, most=2)).verdict == 'differs'  # 1 of 2 is no accident
    many = [[x, 0, x + 9, 9] for x in range(0, 500, 10)]
    scores = np.linspace(0.9, 0.5, 50)
    expected, given = found(many, scores), found([*many[:-1], [900, 0, 909, 9]], scores)
    assert compare(expected, given, Limits(0.05, most=50)).verdict == 'equal but for ties'
    assert compare(expected, given, Limits(0.05, most=60)).verdict == 'differs'


def test_too_many_ties_tell_nothing():
    many = [[x, 0, x + 9, 9] for x in range(0, 500, 10)]
    given = [[x, 20, x + 9, 29] for x in range(0, 500, 10)]
    result = compare(found(many, [0.5] * 50), found(given, [0.5] * 50), LIMITS)
    assert result.verdict == 'differs'
    assert 'too many' in result.wrong[0]


def test_masks_are_compared_pixel_by_pixel():
    mask = np.zeros((1, 50, 50), bool)
    mask[0, 20:40, 20:40] = True
    shifted = np.roll(mask, 2, axis=2)
    expected = found([SECOND], [0.6], masks=mask)
    assert compare(expected, found([SECOND], [0.6], masks=mask.copy()), LIMITS).verdict == 'equal'
    result = compare(expected, found([SECOND], [0.6], masks=shifted), LIMITS)
    assert result.verdict == 'differs'
    assert result.mask == pytest.approx(0.2)
    assert compare(expected, found([SECOND], [0.6]), LIMITS).wrong == ['only one side gives masks']

"""The positions that boxes cover, and sums over the positions that count."""

import pytest
import torch

from nst_det.models.losses.positions import (
    boxes_to_positions,
    count_positions,
    position_log_softmax,
    unit_vectors,
)


def covered(*box):
    (mask,) = boxes_to_positions(torch.tensor([box]), (3, 5))
    return {tuple(place) for place in mask.nonzero().tolist()}


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ((1.0, 0.0, 3.0, 2.0), {(0, 1), (0, 2), (1, 1), (1, 2)}),
        ((0.6, 0.4, 2.4, 1.4), {(0, 1)}),  # only the centre of one position lies inside
        ((3.6, 1.6, 3.8, 1.8), {(1, 3)}),  # no centre lies inside
        ((2.6, 0.0, 2.8, 3.0), {(0, 2), (1, 2), (2, 2)}),  # none along one axis
        ((-4.0, -4.0, 9.0, 9.0), {(y, x) for y in range(3) for x in range(5)}),
        ((5.2, 3.1, 5.3, 3.2), {(2, 4)}),  # beyond the border
    ],
)
def test_a_box_covers_the_positions_whose_centre_lies_inside_and_one_at_least(box, expected):
    assert covered(*box) == expected


def test_no_boxes_cover_nothing():
    assert boxes_to_positions(torch.zeros(0, 4), (3, 5)).shape == (0, 3, 5)


def test_positions_are_counted_and_at_least_one_is():
    mask = torch.zeros(3, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :2], mask[1, :, 0, 0] = True, True
    assert count_positions(torch.zeros(3, 2, 4, 5), mask).tolist() == [10, 1, 1]
    assert count_positions(torch.zeros(3, 2, 4, 5), None).tolist() == [20, 20, 20]


def test_the_softmax_is_over_the_positions_that_count():
    values = torch.tensor([0.0, 1e30, 0.0]).reshape(1, 1, 1, 3)
    mask = torch.tensor([True, False, True]).reshape(1, 1, 1, 3)
    assert position_log_softmax(values, mask).exp().flatten().tolist() == [0.5, 0.0, 0.5]


def test_the_zero_vector_stays_zero_without_a_gradient():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit = unit_vectors(vectors, 1)
    unit.sum().backward()
    torch.testing.assert_close(unit, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert not vectors.grad[1].any() and vectors.grad.isfinite().all()

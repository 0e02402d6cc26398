"""Distillation by the Pearson correlation against the formula of statistics."""

import statistics

import pytest
import torch

from nst_det.models.losses import PKDLoss


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def channels(features, mask):
    """The values of each channel over all images and the positions that count, as lists."""
    return [features[:, c][mask[:, 0]].tolist() for c in range(features.shape[1])]


def mask_of(masked):
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :3], mask[1, :, :, :2] = True, True
    return mask if masked else torch.ones_like(mask)


@pytest.mark.parametrize('masked', [False, True])
def test_the_paper_is_1_minus_the_correlation_of_each_channel_over_the_batch(masked):
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    mask = mask_of(masked)
    pairs = zip(channels(student, mask), channels(teacher, mask))
    expected = statistics.mean(1 - statistics.correlation(*pair) for pair in pairs)
    found = PKDLoss(6.0)(student, teacher, mask if masked else None)
    assert found.item() == pytest.approx(6 * expected, rel=1e-12)


@pytest.mark.parametrize('masked', [False, True])
def test_the_code_is_half_the_mean_squared_difference_of_the_standardised_channels(masked):
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    mask = mask_of(masked)
    squares = []
    for pair in zip(channels(student, mask), channels(teacher, mask)):
        standardised = [
            [(x - statistics.mean(row)) / (statistics.stdev(row) + 1e-6) for x in row]
            for row in pair
        ]
        squares += [(a - b) ** 2 for a, b in zip(*standardised)]
    found = PKDLoss(6.0, 'code')(student, teacher, mask if masked else None)
    assert found.item() == pytest.approx(3 * statistics.mean(squares), rel=1e-12)


def test_the_code_is_the_paper_times_one_minus_one_over_the_positions():
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    paper, code = (PKDLoss(1.0, mode)(student, teacher) for mode in ('paper', 'code'))
    torch.testing.assert_close(code, paper * 39 / 40, rtol=1e-5, atol=0)


@pytest.mark.parametrize('scale', [1e-9, 1e9])
def test_mean_and_scale_of_a_channel_do_not_count_in_the_paper(scale):
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    loss = PKDLoss(1.0)
    torch.testing.assert_close(loss(scale * (student + 0.7), teacher), loss(student, teacher))


@pytest.mark.parametrize(('sign', 'expected'), [(1, 0.0), (-1, 2.0)])
def test_a_multiple_has_the_correlation_1_and_its_negative_minus_1(sign, expected):
    teacher = feature_map(1, 2, 4, 5)
    found = PKDLoss(1.0)(sign * 3 * teacher + 1, teacher)
    assert found.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('mode', ['paper', 'code'])
@pytest.mark.parametrize('value', [0.0, 0.1, 1e4])
def test_a_constant_channel_has_no_gradient(mode, value):
    student = torch.full((1, 1, 3, 3), value, requires_grad=True)
    loss = PKDLoss(1.0, mode)(student, torch.rand(1, 1, 3, 3))
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()
    if mode == 'paper':
        assert loss.item() == pytest.approx(0.5) and not student.grad.any()

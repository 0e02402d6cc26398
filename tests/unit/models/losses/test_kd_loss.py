"""Softened classification against a reference of plain Python sums."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.transfers.logit_transfer import expected_objects
from nst_det.models.losses import KDLoss, kd_divergence


def scores(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def reference(student, teacher, temperature, sigmoid):
    """T² KL, row by row in Python floats."""
    rows = []
    for s, t in zip(student.tolist(), teacher.tolist()):
        if sigmoid:
            choices = [[softmax([one, 0.0], temperature) for one in pair] for pair in zip(t, s)]
            rows.append(temperature**2 * sum(divergence(*pair) for pair in choices))
        else:
            pair = softmax(t, temperature), softmax(s, temperature)
            rows.append(temperature**2 * divergence(*pair))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize('sigmoid', [False, True])
@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_it_equals_the_formula(sigmoid, temperature):
    student, teacher = scores(7, 5), scores(7, 5, seed=1)
    expected = reference(student, teacher, temperature, sigmoid)
    found = kd_divergence(student, teacher, temperature, sigmoid)
    torch.testing.assert_close(found, expected)
    found = kd_divergence(student.float(), teacher.float(), temperature, sigmoid)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_the_loss_is_the_weighted_mean_of_the_rows(sigmoid):
    student, teacher = scores(7, 5), scores(7, 5, seed=1)
    expected = 3 * reference(student, teacher, 2.0, sigmoid).mean()
    torch.testing.assert_close(KDLoss(3.0, 2.0)(student, teacher, sigmoid), expected)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_half_precision_of_the_scores_is_all_that_is_lost_of_it(sigmoid):
    student, teacher = scores(7, 5).bfloat16(), scores(7, 5, seed=1).bfloat16()
    expected = reference(student.double(), teacher.double(), 4.0, sigmoid).mean()
    with torch.autocast('cpu', torch.bfloat16):
        found = KDLoss()(student, teacher, sigmoid)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_its_gradient_is_that_of_finite_differences(sigmoid):
    student, teacher = scores(4, 3).requires_grad_(), scores(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: kd_divergence(x, teacher, 2.0, sigmoid), student)


def test_a_hot_temperature_matches_the_scores_themselves():
    """Hinton et al. 2015, section 2.1: then the gradient is (s − t) / K, of zero-mean scores."""
    student, teacher = (one - one.mean(1, keepdim=True) for one in (scores(3, 4), scores(3, 4)))
    teacher = teacher.flip(1)
    student.requires_grad_()
    kd_divergence(student, teacher, 1e4).sum().backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 4, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_scores_that_are_certain_give_no_nan(sigmoid):
    student = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    divergences = kd_divergence(student, -student.detach(), 1.0, sigmoid)
    divergences.sum().backward()
    assert divergences.isfinite().all() and student.grad.isfinite().all()
    assert kd_divergence(student, student, 1.0, sigmoid).tolist() == [0, 0]


def test_the_weight_and_the_number_of_regions_scale_it():
    student, teacher = scores(6, 3), scores(6, 3, seed=1)
    total = kd_divergence(student, teacher, 2.0).sum()
    torch.testing.assert_close(KDLoss(3.0, 2.0)(student, teacher), 3 * total / 6)
    torch.testing.assert_close(KDLoss(3.0, 2.0)(student, teacher, regions=2.0), 3 * total / 2)


def test_no_region_is_no_loss():
    assert KDLoss()(torch.zeros(0, 4), torch.zeros(0, 4)).item() == 0


def test_the_objects_that_a_teacher_expects_are_counted_by_its_own_probabilities():
    assert expected_objects(torch.full((10, 3), -50.0), sigmoid=True) == 1  # at least
    assert expected_objects(torch.full((10, 3), 50.0), sigmoid=True) == 10
    sure = 50 * torch.eye(3)[[0, 1, 2, 2, 2]]  # the last class is background
    assert expected_objects(sure, sigmoid=False).item() == pytest.approx(2)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(temperature=0), 'temperature is 0, expected a number greater than 0'),
        (dict(temperature=None), 'temperature is None, expected a number greater than 0'),
        (dict(loss_weight=-2.0), 'loss_weight is -2.0, expected a number of at least 0'),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, line):
    with pytest.raises(UserError, match=line):
        KDLoss(**options)

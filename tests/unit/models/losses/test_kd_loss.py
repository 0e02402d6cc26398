"""KD's loss against a reference of plain Python sums."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.transfers.logit_transfer import expected_objects
from nst_det.models.losses import KDLoss, kd_divergence


def logits(*shape, seed=0):
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
            choices = [[softmax([logit, 0.0], temperature) for logit in pair] for pair in zip(t, s)]
            rows.append(temperature**2 * sum(divergence(*pair) for pair in choices))
        else:
            pair = softmax(t, temperature), softmax(s, temperature)
            rows.append(temperature**2 * divergence(*pair))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize('sigmoid', [False, True])
@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_kd_divergence_equals_the_formula(sigmoid, temperature):
    student, teacher = logits(7, 5), logits(7, 5, seed=1)
    expected = reference(student, teacher, temperature, sigmoid)
    found = kd_divergence(student, teacher, temperature, sigmoid)
    torch.testing.assert_close(found, expected)
    found = kd_divergence(student.float(), teacher.float(), temperature, sigmoid)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_kd_loss_is_the_weighted_mean_over_the_rows(sigmoid):
    student, teacher = logits(7, 5), logits(7, 5, seed=1)
    expected = 3 * reference(student, teacher, 2.0, sigmoid).mean()
    torch.testing.assert_close(KDLoss(3.0, 2.0)(student, teacher, sigmoid), expected)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_kd_loss_of_bfloat16_logits_is_computed_in_float32(sigmoid):
    student, teacher = logits(7, 5).bfloat16(), logits(7, 5, seed=1).bfloat16()
    expected = reference(student.double(), teacher.double(), 4.0, sigmoid).mean()
    with torch.autocast('cpu', torch.bfloat16):
        found = KDLoss()(student, teacher, sigmoid)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_kd_divergence_has_the_gradient_of_finite_differences(sigmoid):
    student, teacher = logits(4, 3).requires_grad_(), logits(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: kd_divergence(x, teacher, 2.0, sigmoid), student)


def test_a_high_temperature_matches_the_logits_themselves():
    """Hinton et al. 2015, section 2.1: then the gradient is (s − t) / K, of zero-mean scores."""
    student, teacher = (rows - rows.mean(1, keepdim=True) for rows in (logits(3, 4), logits(3, 4)))
    teacher = teacher.flip(1)
    student.requires_grad_()
    kd_divergence(student, teacher, 1e4).sum().backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 4, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_certain_logits_give_no_nan(sigmoid):
    student = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    divergences = kd_divergence(student, -student.detach(), 1.0, sigmoid)
    divergences.sum().backward()
    assert divergences.isfinite().all() and student.grad.isfinite().all()
    assert kd_divergence(student, student, 1.0, sigmoid).tolist() == [0, 0]


def test_the_weight_and_the_number_of_regions_scale_kd_loss():
    student, teacher = logits(6, 3), logits(6, 3, seed=1)
    total = kd_divergence(student, teacher, 2.0).sum()
    torch.testing.assert_close(KDLoss(3.0, 2.0)(student, teacher), 3 * total / 6)
    torch.testing.assert_close(KDLoss(3.0, 2.0)(student, teacher, regions=2.0), 3 * total / 2)


def test_kd_loss_of_no_regions_is_zero():
    assert KDLoss()(torch.zeros(0, 4), torch.zeros(0, 4)).item() == 0


def test_the_objects_that_a_teacher_expects_are_counted_by_its_own_probabilities():
    assert expected_objects(torch.full((10, 3), -50.0), sigmoid=True) == 1  # at least
    assert expected_objects(torch.full((10, 3), 50.0), sigmoid=True) == 10
    sure = 50 * torch.eye(3)[[0, 1, 2, 2, 2]]  # the last class is background
    assert expected_objects(sure, sigmoid=False).item() == pytest.approx(2)


@pytest.mark.parametrize('temperature', [0, -1.0, None, '4', math.nan, math.inf, True])
def test_a_wrong_temperature_is_one_clear_line(temperature):
    with pytest.raises(
        UserError, match=r'^temperature is [^\n]*, expected a number greater'
    ) as error:
        KDLoss(temperature=temperature)
    assert error.value.option == 'temperature'

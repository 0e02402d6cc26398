"""Hints against the formula, and the regressor's channels."""

import pytest
import torch
from torch import nn

from nst_det.errors import UserError
from nst_det.models.losses import FitNetLoss


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(student, teacher, loss, mask=None):
    """The formula with the 1×1 convolution written out as a matrix product, per image."""
    weight = loss.regressor.weight.double()[:, :, 0, 0]
    means = []
    for n in range(len(student)):
        hint = torch.einsum('ts,shw->thw', weight, student[n])
        hint = hint + loss.regressor.bias.double()[:, None, None]
        squares = (teacher[n] - hint) ** 2
        where = torch.ones_like(squares[0], dtype=torch.bool) if mask is None else mask[n, 0]
        means.append(sum(squares[c][where].sum() for c in range(len(squares))))
        means[-1] = means[-1] / (len(squares) * where.sum())
    return loss.loss_weight / 2 * sum(means) / len(means)


@pytest.mark.parametrize('masked', [False, True])
def test_it_equals_the_formula(masked):
    loss = FitNetLoss(3.0, student_channels=3, teacher_channels=5)
    student, teacher = maps(2, 3, 4, 5), maps(2, 5, 4, 5, seed=1)
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :3], mask[1, :, :, :2] = True, True
    mask = mask if masked else None
    expected = reference(student, teacher, loss, mask)
    torch.testing.assert_close(loss.double()(student, teacher, mask), expected)
    found = loss.float()(student.float(), teacher.float(), mask)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_autocast_does_not_make_it_coarser():
    loss = FitNetLoss(3.0, student_channels=3, teacher_channels=5)
    student, teacher = maps(2, 3, 4, 5).float(), maps(2, 5, 4, 5, seed=1).float()
    expected = loss(student, teacher)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(student, teacher), expected)


def test_its_gradients_are_those_of_finite_differences():
    loss = FitNetLoss(3.0, student_channels=2, teacher_channels=3).double()
    teacher = maps(2, 3, 3, 4, seed=1)
    weight, bias = (one.detach().clone().requires_grad_() for one in loss.regressor.parameters())

    def value(student, weight, bias):
        parameters = {'regressor.weight': weight, 'regressor.bias': bias}
        return torch.func.functional_call(loss, parameters, (student, teacher))

    student = maps(2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(value, (student, weight, bias))


def test_equal_channels_need_no_regressor():
    loss = FitNetLoss(2.0)
    assert loss(torch.ones(1, 2, 3, 3), torch.full((1, 2, 3, 3), 3.0)).item() == 4
    assert not list(loss.parameters())


def test_a_regressor_that_no_optimizer_could_know_is_refused():
    with pytest.raises(UserError, match='give student_channels and teacher_channels'):
        FitNetLoss()(torch.ones(1, 2, 3, 3), torch.ones(1, 4, 3, 3))


def test_maps_of_other_channels_than_promised_are_one_clear_line():
    loss = FitNetLoss(student_channels=2, teacher_channels=4)
    assert isinstance(loss.regressor, nn.Conv2d)
    with pytest.raises(UserError, match=r'made for 2 and 4 channels, but the maps have 3 .*and 4'):
        loss(torch.ones(1, 3, 3, 3), torch.ones(1, 4, 3, 3))


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(student_channels=3), 'give student_channels and teacher_channels, or neither'),
        (dict(student_channels=0, teacher_channels=2), 'student_channels is 0, expected a whole'),
        (dict(student_channels=2, teacher_channels=2.0), 'teacher_channels is 2.0, expected'),
        (dict(loss_weight=float('inf')), 'loss_weight is inf, expected a number of at least 0'),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, line):
    with pytest.raises(UserError, match=line):
        FitNetLoss(**options)

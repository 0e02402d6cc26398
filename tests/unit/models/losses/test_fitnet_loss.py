"""FitNet's loss against its formula, and its default connector."""

import pytest
import torch
from torch import nn

from nst_det.models.losses import FitNetLoss


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def connected(loss_weight, student_channels, teacher_channels):
    loss = FitNetLoss(loss_weight)
    loss.connect(student_channels, teacher_channels)
    return loss


def reference(student, teacher, loss, mask=None):
    """The formula with the 1×1 convolution written out as a matrix product, per image."""
    weight = loss.connector.layer.weight.double()[:, :, 0, 0]
    means = []
    for n in range(len(student)):
        hint = torch.einsum('ts,shw->thw', weight, student[n])
        hint = hint + loss.connector.layer.bias.double()[:, None, None]
        squares = (teacher[n] - hint) ** 2
        where = torch.ones_like(squares[0], dtype=torch.bool) if mask is None else mask[n, 0]
        means.append(sum(squares[c][where].sum() for c in range(len(squares))))
        means[-1] = means[-1] / (len(squares) * where.sum())
    return loss.loss_weight / 2 * sum(means) / len(means)


@pytest.mark.parametrize('masked', [False, True])
def test_fitnet_loss_equals_the_formula(masked):
    loss = connected(3.0, 3, 5)
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 5, 4, 5, seed=1)
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :3], mask[1, :, :, :2] = True, True
    mask = mask if masked else None
    expected = reference(student, teacher, loss, mask)
    torch.testing.assert_close(loss.double()(student, teacher, mask), expected)
    found = loss.float()(student.float(), teacher.float(), mask)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_autocast_does_not_change_fitnet_loss():
    loss = connected(3.0, 3, 5)
    student, teacher = feature_map(2, 3, 4, 5).float(), feature_map(2, 5, 4, 5, seed=1).float()
    expected = loss(student, teacher)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(student, teacher), expected)


def test_fitnet_loss_has_the_gradients_of_finite_differences():
    loss = connected(3.0, 2, 3).double()
    teacher = feature_map(2, 3, 3, 4, seed=1)
    layer = loss.connector.layer
    weight, bias = (p.detach().clone().requires_grad_() for p in (layer.weight, layer.bias))

    def value(student, weight, bias):
        parameters = {'connector.layer.weight': weight, 'connector.layer.bias': bias}
        return torch.func.functional_call(loss, parameters, (student, teacher))

    student = feature_map(2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(value, (student, weight, bias))


def test_equal_channels_need_no_connection():
    loss = FitNetLoss(2.0)
    assert loss(torch.ones(1, 2, 3, 3), torch.full((1, 2, 3, 3), 3.0)).item() == 4
    assert not list(loss.parameters())


def test_the_default_connector_is_a_1x1_convolution_between_different_channels():
    layer = connected(1.0, 2, 4).connector.layer
    assert isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
    assert not list(connected(1.0, 4, 4).parameters())


def test_the_connector_is_an_option():
    loss = FitNetLoss(connector=dict(type='ConvConnector', kernel_size=3, always=True))
    loss.connect(4, 4)
    assert loss.connector.layer.kernel_size == (3, 3)

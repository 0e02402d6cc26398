"""Localization distillation against its formula, and against mmdet's own loss."""

import math

import mmdet
import pytest
import torch
from mmdet.models.losses import KnowledgeDistillationKLDivLoss

from nst_det.errors import UserError
from nst_det.models.losses import LDLoss


def edges(seed):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(5, 4, 7, generator=generator, dtype=torch.float64)


def weights():
    return torch.tensor([0.9, 0.1, 0.5, 0.3, 0.7], dtype=torch.float64)


def valuable():
    return torch.tensor([0.0, 0.4, 0.2, 0.0, 0.3], dtype=torch.float64)


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize('mode', ['paper', 'code'])
@pytest.mark.parametrize('temperature', [1.0, 10.0])
def test_ld_loss_equals_the_formula(mode, temperature):
    regions = []
    for region in (weights().tolist(), valuable().tolist()):
        total = 0.0
        for student, teacher, weight in zip(edges(0).tolist(), edges(1).tolist(), region):
            for of_student, of_teacher in zip(student, teacher):
                p, q = softmax(of_teacher, temperature), softmax(of_student, temperature)
                divergence = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q))
                total += weight * divergence / 4
        regions.append(total / (sum(region) if mode == 'paper' else 7))
    loss = LDLoss(0.25, temperature, mode, vlr_weight=0.5)
    found = loss(edges(0), edges(1), weights(), valuable())
    assert found.item() == pytest.approx(0.25 * (regions[0] + 0.5 * regions[1]), rel=1e-12)
    alone = loss(edges(0), edges(1), weights())
    assert alone.item() == pytest.approx(0.25 * regions[0], rel=1e-12)


def test_the_code_is_mmdets():
    print(f'mmdet {mmdet.__version__}')
    theirs = KnowledgeDistillationKLDivLoss(loss_weight=0.25, T=10)
    student = edges(0).requires_grad_()
    expected = theirs(
        student.flatten(0, 1),
        edges(1).flatten(0, 1),
        weight=weights().repeat_interleave(4),
        avg_factor=4.0,
    )
    found = LDLoss(0.25, 10.0, 'code')(student, edges(1), weights())
    gradients = [torch.autograd.grad(value, student)[0] for value in (found, expected)]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_equal_edges_have_no_loss_and_no_positions_have_none(mode):
    loss = LDLoss(mode=mode)
    assert loss(edges(0), edges(0), weights(), valuable()).abs() < 1e-12
    none = edges(0)[:0].requires_grad_()
    value = loss(none, edges(1)[:0], weights()[:0], valuable()[:0])
    value.backward()
    assert value == 0


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_the_gradient_is_that_of_finite_differences(mode):
    loss = LDLoss(mode=mode)
    student = edges(0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, edges(1), weights(), valuable()), student)


def test_a_shift_of_the_logits_of_an_edge_does_not_count():
    loss = LDLoss()
    shifted = edges(0) + torch.randn(5, 4, 1, dtype=torch.float64)
    torch.testing.assert_close(
        loss(shifted, edges(1), weights()), loss(edges(0), edges(1), weights())
    )


@pytest.mark.parametrize(
    ('option', 'value'), [('temperature', 0), ('mode', 'papr'), ('vlr_weight', -1)]
)
def test_a_wrong_option_is_one_clear_line(option, value):
    with pytest.raises(UserError, match=f'^{option} is [^\n]*$') as error:
        LDLoss(**{option: value})
    assert error.value.option == option

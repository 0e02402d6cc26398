"""The loss of cross-head distillation against its formulas in plain Python."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.losses import CrossKDLoss


def tensor(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def corners(seed):
    """Four boxes whose overlap differs."""
    first = tensor(4, 2, seed=seed).abs()
    return torch.cat([first, first + tensor(4, 2, seed=seed + 9).abs() + 0.5], 1)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def giou(a, b):
    inter_w = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    inter_h = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    inter = inter_w * inter_h
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inter / union - (hull - union) / hull


def divergence(teacher, student):
    p, q = (
        [math.exp(v) / sum(math.exp(w) for w in row) for v in row] for row in (teacher, student)
    )
    return sum(a * math.log(a / b) for a, b in zip(p, q))


@pytest.mark.parametrize('distributions', [False, True])
@pytest.mark.parametrize('beta', [1.0, 2.0])
def test_cross_kd_loss_equals_the_formula(distributions, beta):
    student, teacher = tensor(4, 3), tensor(4, 3, seed=1)
    if distributions:
        boxes = tensor(4, 4, 5, seed=2), tensor(4, 4, 5, seed=3)
    else:
        boxes = corners(2), corners(3)
    classes = total = weights = 0.0
    rows = zip(student.tolist(), teacher.tolist(), *(box.tolist() for box in boxes))
    for s_row, t_row, s_box, t_box in rows:
        for s, t in zip(s_row, t_row):
            target, score = sigmoid(t), sigmoid(s)
            entropy = -target * math.log(score) - (1 - target) * math.log(1 - score)
            classes += abs(target - score) ** beta * entropy
        weight = max(map(sigmoid, t_row))
        if distributions:
            distance = sum(divergence(t, s) for s, t in zip(s_box, t_box)) / 4
        else:
            distance = 1 - giou(s_box, t_box)
        total, weights = total + weight * distance, weights + weight
    expected = 2 * (classes / 1.5 + 3 * total / weights)
    found = CrossKDLoss(2.0, box_weight=3.0, beta=beta)(student, teacher, *boxes, objects=1.5)
    assert found.item() == pytest.approx(expected, rel=1e-6)  # torchvision's GIoU has an epsilon


def test_equal_predictions_have_no_loss():
    logits, boxes = tensor(4, 3), corners(2)
    assert CrossKDLoss()(logits, logits, boxes, boxes).abs() < 1e-6


@pytest.mark.parametrize('distributions', [False, True])
def test_the_gradient_is_that_of_finite_differences(distributions):
    teacher = tensor(4, 3, seed=1)
    boxes = [tensor(4, 4, 5, seed=s) if distributions else corners(s) for s in (2, 3)]
    loss = CrossKDLoss()
    inputs = tensor(4, 3).requires_grad_(), boxes[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda s, b: loss(s, teacher, b, boxes[1]), inputs)


@pytest.mark.parametrize(
    ('option', 'value'), [('stage', 0), ('stage', 1.5), ('beta', -1), ('box_weight', None)]
)
def test_a_wrong_option_is_one_clear_line(option, value):
    with pytest.raises(UserError, match=f'^{option} is [^\n]*$') as error:
        CrossKDLoss(**{option: value})
    assert error.value.option == option

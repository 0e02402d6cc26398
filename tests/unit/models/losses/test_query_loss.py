"""The loss between matched queries, against all permutations and plain Python sums."""

import itertools
import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.losses import MatchedQueryLoss, kd_divergence, object_chance


def tensor(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def predictions(seed, images=2, queries=4):
    """Class logits and boxes (centre and size, 0 to 1)."""
    return 2 * tensor(images, queries, 3, seed=seed), tensor(
        images, queries, 4, seed=seed
    ).sigmoid()


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def giou(a, b):
    a, b = corners(a), corners(b)
    inter_w = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    inter_h = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    inter = inter_w * inter_h
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inter / union - (hull - union) / hull


def distance(student, teacher, s_box, t_box, sigmoid, temperature):
    divergence = kd_divergence(student[None], teacher[None], temperature, sigmoid).item()
    apart = 5 * sum(abs(a - b) for a, b in zip(s_box, t_box)) + 2 * (1 - giou(s_box, t_box))
    return divergence + object_chance(teacher[None], sigmoid).item() * apart


def reference(student, teacher, sigmoid, temperature):
    """The best of all permutations of each image."""
    total = weights = 0.0
    for s, t, s_box, t_box in zip(student[0], teacher[0], student[1].tolist(), teacher[1].tolist()):
        table = [
            [distance(s[j], t[i], s_box[j], t_box[i], sigmoid, temperature) for j in range(len(s))]
            for i in range(len(t))
        ]
        total += min(
            sum(table[i][j] for i, j in enumerate(permutation))
            for permutation in itertools.permutations(range(len(s)))
        )
        weights += object_chance(t, sigmoid).sum().item()
    return total / weights


@pytest.mark.parametrize('sigmoid', [False, True])
@pytest.mark.parametrize('temperature', [1.0, 2.0])
def test_the_loss_is_that_of_the_best_of_all_permutations(sigmoid, temperature):
    student, teacher = predictions(0), predictions(1)
    expected = 3 * reference(student, teacher, sigmoid, temperature)
    loss = MatchedQueryLoss(3.0, temperature)
    found = loss(student[0], teacher[0], student[1], teacher[1], sigmoid)
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_the_order_of_the_queries_does_not_count(sigmoid):
    student, teacher = predictions(0, queries=9), predictions(1, queries=9)
    loss = MatchedQueryLoss()
    expected = loss(student[0], teacher[0], student[1], teacher[1], sigmoid)
    order = torch.randperm(9)
    found = loss(student[0][:, order], teacher[0], student[1][:, order], teacher[1], sigmoid)
    torch.testing.assert_close(found, expected)
    same = loss(student[0][:, order], student[0], student[1][:, order], student[1], sigmoid)
    assert same.abs() < 1e-5


def test_each_query_is_matched_once():
    student, teacher = predictions(0, 1, 50), predictions(1, 1, 50)
    pair = MatchedQueryLoss().match(
        student[0][0], teacher[0][0], student[1][0], teacher[1][0], sigmoid=True
    )
    assert [sorted(of.tolist()) for of in pair] == [list(range(50))] * 2


@pytest.mark.parametrize('fewer', ['student', 'teacher'])
def test_detectors_with_different_numbers_of_queries_are_compared(fewer):
    student, teacher = predictions(0, queries=9), predictions(1, queries=9)
    full, part = (teacher, student) if fewer == 'student' else (student, teacher)
    part = [value[:, :5] for value in part]
    pair = (part, full) if fewer == 'student' else (full, part)
    loss = MatchedQueryLoss()
    value = loss(pair[0][0], pair[1][0], pair[0][1], pair[1][1], True)
    assert value > 0


def test_the_gradient_is_that_of_finite_differences():
    student, teacher = predictions(0), predictions(1)
    loss = MatchedQueryLoss()
    inputs = student[0].requires_grad_(), student[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s, b: loss(s, teacher[0], b, teacher[1], True), inputs)


def test_one_query_against_another_beside_it():
    logits = torch.tensor([[[math.log(3), 0.0]]])  # an object with the probability 3/4
    boxes = torch.tensor([[[0.25, 0.5, 0.5, 1.0]]]), torch.tensor([[[0.75, 0.5, 0.5, 1.0]]])
    # The boxes touch: GIoU is 0, their centres are 0.5 apart. The weight cancels.
    loss = MatchedQueryLoss(1.0)
    found = loss(logits, logits, *boxes, sigmoid=False)
    assert found.item() == pytest.approx(5 * 0.5 + 2 * 1, rel=1e-5)


@pytest.mark.parametrize(
    ('option', 'value'), [('temperature', 0), ('l1_weight', -1), ('giou_weight', '2')]
)
def test_a_wrong_option_is_one_clear_line(option, value):
    with pytest.raises(UserError, match=f'^{option} is [^\n]*$') as error:
        MatchedQueryLoss(**{option: value})
    assert error.value.option == option

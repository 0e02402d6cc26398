"""Relational distillation against its formulas in plain Python sums."""

import itertools
import math

import pytest
import torch

from nst_det.models.losses import RKDLoss


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def huber(a, b):
    difference = abs(a - b)
    return difference**2 / 2 if difference < 1 else difference - 1 / 2


def subtract(a, b):
    return [x - y for x, y in zip(a, b)]


def norm(row):
    return math.sqrt(sum(value * value for value in row))


def relations(images, mode):
    rows = [image.flatten().tolist() for image in images]
    if mode == 'code':
        rows = [[value / norm(row) for value in row] for row in rows]
    pairs = list(itertools.permutations(range(len(rows)), 2))
    distances = [norm(subtract(rows[i], rows[j])) for i, j in pairs]
    mean = sum(distances) / len(distances)
    angles = []
    for i, j, k in itertools.permutations(range(len(rows)), 3):
        first, second = subtract(rows[i], rows[j]), subtract(rows[k], rows[j])
        product = sum(a * b for a, b in zip(first, second))
        angles.append(product / norm(first) / norm(second))
    return [distance / mean for distance in distances], angles


@pytest.mark.parametrize('mode', ['paper', 'code'])
@pytest.mark.parametrize('masked', [False, True])
def test_rkd_loss_equals_the_formulas(mode, masked):
    student, teacher = feature_map(4, 2, 3, 4), feature_map(4, 6, 3, 4, seed=1) + 1
    mask = torch.ones(4, 1, 3, 4, dtype=torch.bool)
    if masked:
        mask[0, :, 2:], mask[1, :, :, 2:] = False, False
    of_student, of_teacher = (relations(features * mask, mode) for features in (student, teacher))
    pairs, triples = (
        sum(huber(a, b) for a, b in zip(x, y)) for x, y in zip(of_student, of_teacher)
    )
    if mode == 'code':
        pairs, triples = pairs / 4**2, triples / 4**3
    loss = RKDLoss(2.0, distance_weight=5.0, angle_weight=7.0, mode=mode)
    found = loss(student, teacher, mask if masked else None)
    assert found.item() == pytest.approx(2 * (5 * pairs + 7 * triples), rel=1e-12)


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_an_image_without_a_position_that_counts_has_no_relations(mode):
    student, teacher = feature_map(4, 2, 3, 4), feature_map(4, 6, 3, 4, seed=1)
    mask = torch.ones(4, 1, 3, 4, dtype=torch.bool)
    mask[2] = False
    for weights, images in [((1.0, 0.0), 2), ((0.0, 1.0), 3)]:
        loss = RKDLoss(1.0, *weights, mode=mode)
        others = loss(student[[0, 1, 3]], teacher[[0, 1, 3]])
        share = (3 / 4) ** images if mode == 'code' else 1  # of the terms that the mean counts
        torch.testing.assert_close(loss(student, teacher, mask), share * others)


def test_a_rotation_a_shift_and_a_scale_do_not_count_in_the_paper():
    student, teacher = feature_map(4, 3, 3, 4), feature_map(4, 6, 3, 4, seed=1)
    rotation, _ = torch.linalg.qr(feature_map(3, 3, seed=2))
    changed = 3 * torch.einsum('ts,nshw->nthw', rotation, student) + feature_map(3, 3, 4, seed=3)
    loss = RKDLoss(mode='paper')
    torch.testing.assert_close(loss(changed, teacher), loss(student, teacher))


def test_a_right_angle_against_an_equilateral_triangle():
    # The distances are (1, 1, √2) / mean against (1, 1, 1); the cosines 0, 1/√2, 1/√2 against ½.
    student = torch.tensor([[0.0, 0], [1, 0], [0, 1]]).double().reshape(3, 1, 1, 2)
    teacher = torch.tensor([[0, 0], [1, 0], [0.5, math.sqrt(0.75)]]).double().reshape(3, 1, 1, 2)
    mean = (2 + math.sqrt(2)) / 3
    distances = 2 * (2 * (1 / mean - 1) ** 2 + (math.sqrt(2) / mean - 1) ** 2) / 2
    angles = 2 * (0.5**2 + 2 * (1 / math.sqrt(2) - 0.5) ** 2) / 2
    for weights, expected in [((1.0, 0.0), distances), ((0.0, 1.0), angles)]:
        found = RKDLoss(1.0, *weights, mode='paper')(student, teacher)
        assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize('mode', ['paper', 'code'])
@pytest.mark.parametrize('images', [1, 2])
def test_fewer_than_three_images_have_nothing_to_compare(mode, images):
    student = torch.rand(images, 3, 4, 5, requires_grad=True)
    value = RKDLoss(mode=mode)(student, torch.rand(images, 3, 4, 5))
    value.backward()
    assert value < 1e-9 and student.grad.abs().max() < 1e-5


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_equal_images_have_a_finite_gradient(mode):
    student = torch.rand(1, 3, 4, 5).repeat(4, 1, 1, 1).requires_grad_()
    value = RKDLoss(mode=mode)(student, torch.rand(4, 3, 4, 5))
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()

"""Similarity-preserving distillation against its formula in plain Python sums."""

import math

import pytest
import torch

from nst_det.models.losses import SPLoss


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def similarities(images):
    rows = [image.flatten().tolist() for image in images]
    gram = [[sum(a * b for a, b in zip(x, y)) for y in rows] for x in rows]
    return [value / math.sqrt(sum(v * v for v in row)) for row in gram for value in row]


@pytest.mark.parametrize('masked', [False, True])
def test_sp_loss_equals_the_formula(masked):
    student, teacher = feature_map(3, 2, 4, 5), feature_map(3, 6, 4, 5, seed=1)
    mask = torch.ones(3, 1, 4, 5, dtype=torch.bool)
    if masked:
        mask[0, :, 3:], mask[1, :, :, 2:] = False, False
    rows = zip(*(similarities(features * mask) for features in (student, teacher)))
    expected = 5 * sum((a - b) ** 2 for a, b in rows) / 9
    found = SPLoss(5.0)(student, teacher, mask if masked else None)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_two_equal_images_against_two_perpendicular_ones():
    # The rows are (1, 1)/√2 and (1, 0): the difference squared is (1 − 1/√2)² + 1/2 in each row.
    student = torch.ones(2, 1, 1, 2)
    teacher = torch.eye(2).reshape(2, 1, 1, 2)
    expected = 2 * ((1 - 1 / math.sqrt(2)) ** 2 + 1 / 2) / 4
    assert SPLoss(1.0)(student, teacher).item() == pytest.approx(expected)


def test_a_rotation_of_the_channels_and_a_scale_do_not_count():
    student, teacher = feature_map(3, 3, 4, 5), feature_map(3, 6, 4, 5, seed=1)
    rotation, _ = torch.linalg.qr(feature_map(3, 3, seed=2))
    changed = 3 * torch.einsum('ts,nshw->nthw', rotation, student)
    loss = SPLoss(1.0)
    torch.testing.assert_close(loss(changed, teacher), loss(student, teacher))


def test_one_image_alone_has_nothing_to_compare():
    student = torch.rand(1, 3, 4, 5, requires_grad=True)
    value = SPLoss(1.0)(student, torch.rand(1, 3, 4, 5))
    value.backward()
    assert value < 1e-12 and student.grad.abs().max() < 1e-6

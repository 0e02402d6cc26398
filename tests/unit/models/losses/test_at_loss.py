"""Attention transfer against a reference of plain Python sums, as in the paper and its code."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.losses import ATLoss, attention_distance, attention_pattern


def reference(student, teacher, mode, mask=None):
    """The formula, image by image and position by position, in Python floats."""
    distances = []
    for n in range(len(student)):
        patterns = []
        for features in (student, teacher):
            image = features[n].double()
            counted = [
                (y, x)
                for y in range(image.shape[1])
                for x in range(image.shape[2])
                if mask is None or mask[n, 0, y, x]
            ]
            energy = [
                sum(image[c, y, x].item() ** 2 for c in range(len(image))) for y, x in counted
            ]
            norm = math.sqrt(sum(value**2 for value in energy))
            patterns.append([value / norm if norm else 0.0 for value in energy])
        squares = [(a - b) ** 2 for a, b in zip(*patterns)]
        distances.append(
            math.sqrt(sum(squares)) if mode == 'paper' else sum(squares) / len(squares)
        )
    return torch.tensor(distances, dtype=torch.float64)


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize('mode', ['paper', 'code'])
@pytest.mark.parametrize('masked', [False, True])
def test_attention_distance_equals_the_formula(mode, masked):
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 6, 4, 5, seed=1)
    mask = None
    if masked:
        mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
        mask[0, :, :3], mask[1, :, :, :2] = True, True
    expected = reference(student, teacher, mode, mask)
    torch.testing.assert_close(attention_distance(student, teacher, mask, mode), expected)
    found = attention_distance(student.float(), teacher.float(), mask, mode)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(('mode', 'coefficient'), [('paper', 0.5), ('code', 1.0)])
def test_at_loss_is_the_weighted_mean_over_the_images(mode, coefficient):
    student, teacher = feature_map(3, 2, 4, 5), feature_map(3, 6, 4, 5, seed=1)
    expected = 7 * coefficient * reference(student, teacher, mode).mean()
    torch.testing.assert_close(ATLoss(7.0, mode)(student, teacher), expected)


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_autocast_does_not_change_attention_distance(mode):
    student, teacher = feature_map(2, 3, 4, 4).float(), feature_map(2, 3, 8, 8, seed=1).float()
    expected = attention_distance(student, teacher, None, mode)
    with torch.autocast('cpu', torch.bfloat16):
        found = attention_distance(student, teacher, None, mode)
        half = attention_distance(student.bfloat16(), teacher, None, mode)
    assert torch.equal(found, expected) and half.dtype == torch.float32


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_attention_distance_has_the_gradient_of_finite_differences(mode):
    student = feature_map(2, 3, 3, 4).requires_grad_()
    teacher = feature_map(2, 2, 3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: attention_distance(x, teacher, None, mode), student)


def test_attention_at_two_different_positions_is_the_root_of_two_apart():
    student, teacher = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    student[..., 0], teacher[..., 1] = 3.0, 5.0
    assert attention_distance(student, teacher).item() == pytest.approx(math.sqrt(2))
    assert attention_distance(student, teacher, mode='code').item() == pytest.approx(1)
    assert ATLoss(4.0, mode='paper')(student, teacher).item() == pytest.approx(2 * math.sqrt(2))
    assert ATLoss(4.0, mode='code')(student, teacher).item() == pytest.approx(4)


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_equal_and_dead_feature_maps_have_no_gradient_and_no_nan(mode):
    equal = feature_map(1, 3, 4, 4).requires_grad_()
    dead = torch.zeros(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    for student in (equal, dead):
        distance = attention_distance(student, student.detach(), None, mode)
        distance.sum().backward()
        assert distance.item() == 0
        assert not student.grad.any()
    distance = attention_distance(dead, equal.detach(), None, mode)
    distance.sum().backward()
    assert distance.isfinite().all() and not dead.grad.any()


@pytest.mark.parametrize('scale', [1e-12, 1e12])
def test_attention_does_not_depend_on_the_scale_of_the_activations(scale):
    features = feature_map(1, 3, 4, 4).float()
    torch.testing.assert_close(attention_pattern(scale * features), attention_pattern(features))


def test_a_teacher_feature_map_of_another_size_is_interpolated():
    student, teacher = feature_map(1, 3, 4, 4), feature_map(1, 3, 8, 8, seed=1)
    smaller = torch.nn.functional.interpolate(teacher, (4, 4), mode='bilinear')
    torch.testing.assert_close(
        attention_distance(student, teacher), attention_distance(student, smaller)
    )


@pytest.mark.parametrize('mode', ['papr', None, ['paper'], 2])
def test_an_unknown_mode_is_one_clear_line(mode):
    with pytest.raises(UserError, match="^mode is [^\n]*expected 'paper' or 'code'") as error:
        ATLoss(mode=mode)
    assert error.value.option == 'mode'

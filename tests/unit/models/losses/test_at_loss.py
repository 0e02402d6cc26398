"""Attention transfer against a reference of plain Python sums, in both of its authors' versions."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.losses import ATLoss, attention_distance, attention_pattern


def reference(student, teacher, mode, mask=None):
    """The formula, image by image and position by position, in Python floats."""
    gaps = []
    for n in range(len(student)):
        patterns = []
        for maps in (student, teacher):
            image = maps[n].double()
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
        gaps.append(math.sqrt(sum(squares)) if mode == 'paper' else sum(squares) / len(squares))
    return torch.tensor(gaps, dtype=torch.float64)


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize('mode', ['paper', 'code'])
@pytest.mark.parametrize('masked', [False, True])
def test_it_equals_the_formula(mode, masked):
    student, teacher = maps(2, 3, 4, 5), maps(2, 6, 4, 5, seed=1)
    mask = None
    if masked:
        mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
        mask[0, :, :3], mask[1, :, :, :2] = True, True
    expected = reference(student, teacher, mode, mask)
    torch.testing.assert_close(attention_distance(student, teacher, mask, mode), expected)
    found = attention_distance(student.float(), teacher.float(), mask, mode)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(('mode', 'coefficient'), [('paper', 0.5), ('code', 1.0)])
def test_the_loss_is_the_weighted_mean_of_the_images(mode, coefficient):
    student, teacher = maps(3, 2, 4, 5), maps(3, 6, 4, 5, seed=1)
    expected = 7 * coefficient * reference(student, teacher, mode).mean()
    torch.testing.assert_close(ATLoss(7.0, mode)(student, teacher), expected)


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_autocast_does_not_make_it_coarser(mode):
    student, teacher = maps(2, 3, 4, 4).float(), maps(2, 3, 8, 8, seed=1).float()
    expected = attention_distance(student, teacher, None, mode)
    with torch.autocast('cpu', torch.bfloat16):
        found = attention_distance(student, teacher, None, mode)
        half = attention_distance(student.bfloat16(), teacher, None, mode)
    assert torch.equal(found, expected) and half.dtype == torch.float32


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_its_gradient_is_that_of_finite_differences(mode):
    student = maps(2, 3, 3, 4).requires_grad_()
    teacher = maps(2, 2, 3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: attention_distance(x, teacher, None, mode), student)


def test_two_spots_of_attention_at_right_angles_are_the_root_of_two_apart():
    student, teacher = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    student[..., 0], teacher[..., 1] = 3.0, 5.0
    assert attention_distance(student, teacher).item() == pytest.approx(math.sqrt(2))
    assert attention_distance(student, teacher, mode='code').item() == pytest.approx(1)
    assert ATLoss(4.0, mode='paper')(student, teacher).item() == pytest.approx(2 * math.sqrt(2))
    assert ATLoss(4.0, mode='code')(student, teacher).item() == pytest.approx(4)


@pytest.mark.parametrize('mode', ['paper', 'code'])
def test_equal_and_dead_maps_have_no_gradient_and_no_nan(mode):
    equal = maps(1, 3, 4, 4).requires_grad_()
    dead = torch.zeros(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    for student in (equal, dead):
        gap = attention_distance(student, student.detach(), None, mode)
        gap.sum().backward()
        assert gap.item() == 0
        assert not student.grad.any()
    gap = attention_distance(dead, equal.detach(), None, mode)
    gap.sum().backward()
    assert gap.isfinite().all() and not dead.grad.any()


@pytest.mark.parametrize('scale', [1e-12, 1e12])
def test_attention_does_not_depend_on_the_scale_of_the_activations(scale):
    one = maps(1, 3, 4, 4).float()
    torch.testing.assert_close(attention_pattern(scale * one), attention_pattern(one))


def test_a_teachers_map_of_another_size_is_interpolated():
    student, teacher = maps(1, 3, 4, 4), maps(1, 3, 8, 8, seed=1)
    smaller = torch.nn.functional.interpolate(teacher, (4, 4), mode='bilinear')
    torch.testing.assert_close(
        attention_distance(student, teacher), attention_distance(student, smaller)
    )


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(mode='papr'), "did you mean 'paper'"),
        (dict(loss_weight=-1), 'loss_weight is -1, expected a number of at least 0'),
        (dict(loss_weight='5'), "loss_weight is '5', expected a number"),
        (dict(loss_weight=math.nan), 'loss_weight is nan'),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, line):
    with pytest.raises(UserError, match=line):
        ATLoss(**options)

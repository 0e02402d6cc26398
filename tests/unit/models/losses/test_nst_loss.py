"""NST's loss against its formula, its closed forms and what must not change it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nst_det.errors import UserError
from nst_det.models.losses import (
    GaussianKernel,
    LinearKernel,
    NSTLoss,
    PolynomialKernel,
    nst_mmd2,
    selectivity_patterns,
)

KERNELS = {
    'linear': LinearKernel(),
    'poly': PolynomialKernel(degree=2, offset=0.0),
    'cubic': PolynomialKernel(degree=3, offset=0.5),
    'gauss': GaussianKernel(),
    'gauss_fixed': GaussianKernel(sigma_squared=0.7),
}
every_kernel = pytest.mark.parametrize('name', KERNELS)


def feature_maps(student_channels=5, teacher_channels=7, size=(3, 4), batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    channels = student_channels, teacher_channels
    return [torch.randn(batch, n, *size, generator=generator, dtype=dtype) for n in channels]


def formula(student: Tensor, teacher: Tensor, name: str) -> Tensor:
    """MMD² of each image straight from the double sums, a Python loop over every pair."""
    return torch.stack([formula_of_an_image(s, t, name) for s, t in zip(student, teacher)])


def formula_of_an_image(student: Tensor, teacher: Tensor, name: str) -> Tensor:
    s = [row / row.norm() if row.norm() > 0 else row for row in student.double().flatten(1)]
    t = [row / row.norm() if row.norm() > 0 else row for row in teacher.double().flatten(1)]
    sigma2 = sum((a - b).square().sum().item() for a in t for b in s) / (len(t) * len(s))
    kernel = {
        'linear': lambda x, y: x @ y,
        'poly': lambda x, y: (x @ y) ** 2,
        'cubic': lambda x, y: (x @ y + 0.5) ** 3,
        'gauss': lambda x, y: torch.exp(-(x - y).square().sum() / (2 * sigma2)),
        'gauss_fixed': lambda x, y: torch.exp(-(x - y).square().sum() / (2 * 0.7)),
    }[name]

    def mean(xs, ys):
        return sum(kernel(x, y) for x in xs for y in ys) / (len(xs) * len(ys))

    return mean(t, t) + mean(s, s) - 2 * mean(t, s)


@every_kernel
def test_nst_mmd2_equals_the_formula(name):
    student, teacher = feature_maps()
    expected = formula(student, teacher, name)
    assert expected.min() > 1e-3
    torch.testing.assert_close(
        nst_mmd2(student, teacher, KERNELS[name]), expected, rtol=1e-12, atol=1e-14
    )
    torch.testing.assert_close(
        nst_mmd2(student.float(), teacher.float(), KERNELS[name]).double(),
        expected,
        rtol=1e-5,
        atol=1e-7,
    )


@every_kernel
def test_nst_mmd2_has_the_gradient_of_the_formula(name):
    student, teacher = feature_maps()
    ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
    nst_mmd2(ours, teacher, KERNELS[name]).sum().backward()
    formula(theirs, teacher, name).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)


@every_kernel
def test_nst_mmd2_has_the_gradients_of_finite_differences(name):
    student, teacher = feature_maps(3, 4, (2, 3))
    kernel = KERNELS[name]
    if name == 'gauss':  # the default σ² depends on the input, but is a constant to the gradient
        kernel = GaussianKernel(sigma_squared=0.9)
    torch.autograd.gradcheck(
        lambda s, t: nst_mmd2(s, t, kernel),
        (student.requires_grad_(), teacher.requires_grad_()),
    )


def test_nst_loss_is_half_lambda_times_the_mean_over_the_images():
    student, teacher = feature_maps()
    expected = 30.0 / 2 * formula(student, teacher, 'poly').mean()
    loss = NSTLoss(loss_weight=30.0, kernel=dict(type='PolynomialKernel'))(student, teacher)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_linear_mmd2_is_the_squared_distance_of_the_mean_patterns():
    student, teacher = feature_maps()
    means = [selectivity_patterns(features).mean(1) for features in (student, teacher)]
    torch.testing.assert_close(
        nst_mmd2(student, teacher, LinearKernel()), (means[0] - means[1]).square().sum(1)
    )


def test_quadratic_mmd2_is_the_squared_distance_of_the_spatial_gram_matrices():
    student, teacher = feature_maps()
    grams = [
        rows.mT @ rows / rows.shape[1]
        for rows in (F.normalize(features.flatten(2), dim=2) for features in (student, teacher))
    ]
    torch.testing.assert_close(
        nst_mmd2(student, teacher, PolynomialKernel()), (grams[0] - grams[1]).square().sum((1, 2))
    )


@every_kernel
def test_equal_feature_maps_give_zero_and_no_gradient(name):
    student, _ = feature_maps(dtype=torch.float32)
    student.requires_grad_()
    value = nst_mmd2(student, student.detach().clone(), KERNELS[name])
    value.sum().backward()
    assert value.abs().max() < 1e-6
    assert student.grad.abs().max() < 1e-6


@every_kernel
def test_permuting_channels_changes_nothing(name):
    student, teacher = feature_maps()
    kernel = KERNELS[name]
    torch.testing.assert_close(
        nst_mmd2(student.flip(1), teacher[:, torch.randperm(7)], kernel),
        nst_mmd2(student, teacher, kernel),
    )


@every_kernel
def test_scaling_a_channel_changes_nothing(name):
    student, teacher = feature_maps(dtype=torch.float32)
    scaled = student.clone()
    scaled[:, 1] *= 1e-6
    scaled[:, 2] *= 1e6
    torch.testing.assert_close(
        nst_mmd2(scaled, teacher, KERNELS[name]), nst_mmd2(student, teacher, KERNELS[name])
    )


@every_kernel
def test_a_dead_channel_has_pattern_zero_and_gradient_zero(name):
    student, teacher = feature_maps()
    student[:, 2] = 0
    teacher[0, 3] = 0
    expected = formula(student, teacher, name)
    student.requires_grad_()
    value = nst_mmd2(student, teacher, KERNELS[name])
    value.sum().backward()
    torch.testing.assert_close(value, expected)
    assert student.grad.isfinite().all()
    assert student.grad[:, 2].eq(0).all()
    assert student.grad[:, 1].ne(0).any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_an_almost_dead_channel_has_no_excessive_gradient(dtype):
    student, teacher = (features.to(dtype) for features in feature_maps(32, 48, (7, 9)))
    student[:, 2] = 0
    student[:, 2, 0, 0] = 6e-8 if dtype == torch.float16 else 1e-30
    student.requires_grad_()
    NSTLoss(loss_weight=50.0)(student, teacher).backward()
    assert student.grad.isfinite().all()
    assert student.grad[:, 2].abs().max() < 1e6 * student.grad[:, 3].abs().max()


@every_kernel
def test_dead_feature_maps_give_no_nan(name):
    dead = torch.zeros(2, 3, 4, 4, requires_grad=True)
    value = nst_mmd2(dead, torch.zeros(2, 5, 4, 4), KERNELS[name])
    value.sum().backward()
    assert value.eq(0).all()
    assert dead.grad.eq(0).all()


def test_the_teacher_feature_map_is_interpolated_to_the_size_of_the_student():
    student, _ = feature_maps(size=(6, 9))
    _, teacher = feature_maps(size=(3, 4))
    resized = F.interpolate(teacher, (6, 9), mode='bilinear', align_corners=False)
    torch.testing.assert_close(
        nst_mmd2(student, teacher, PolynomialKernel()), formula(student, resized, 'poly')
    )


@every_kernel
def test_masked_positions_count_for_nothing(name):
    student, teacher = feature_maps(size=(3, 4))
    mask = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    mask[:, :, :2, :3] = True
    expected = nst_mmd2(student[:, :, :2, :3], teacher[:, :, :2, :3], KERNELS[name])
    student[:, :, 2:] = math.inf
    teacher[..., 3:] = math.nan
    student.requires_grad_()
    value = nst_mmd2(student, teacher, KERNELS[name], mask)
    torch.testing.assert_close(value, expected)
    value.sum().backward()
    assert student.grad.isfinite().all()
    assert student.grad[..., 3:].eq(0).all()


def test_nst_loss_takes_the_mask():
    student, teacher = feature_maps()
    mask = torch.ones(2, 1, 3, 4, dtype=torch.bool)
    mask[0, :, 2] = False
    loss = NSTLoss(loss_weight=2.0)(student, teacher, mask)
    torch.testing.assert_close(loss, nst_mmd2(student, teacher, PolynomialKernel(), mask).mean())
    assert not torch.equal(loss, NSTLoss(loss_weight=2.0)(student, teacher))


def test_bfloat16_feature_maps_are_compared_to_float32_accuracy():
    student, teacher = (
        features.bfloat16() for features in feature_maps(32, 48, (7, 9), dtype=torch.float32)
    )
    student.requires_grad_()
    for name, kernel in KERNELS.items():
        value = nst_mmd2(student, teacher, kernel)
        assert value.dtype == torch.float32
        expected = formula(student.detach(), teacher, name).float()
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
    value.sum().backward()
    assert student.grad.dtype == torch.bfloat16


@every_kernel
def test_autocast_does_not_change_nst_mmd2(name):
    student, teacher = feature_maps(32, 48, (7, 9), dtype=torch.float32)
    expected = nst_mmd2(student, teacher, KERNELS[name])
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(nst_mmd2(student, teacher, KERNELS[name]), expected)


@every_kernel
def test_no_tensor_is_ever_larger_than_a_gram_matrix_or_a_feature_map(name):
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend(o.numel() for o in ([out] if isinstance(out, Tensor) else []))
            return out

    student, teacher = feature_maps(32, 48, (7, 9))
    student.requires_grad_()
    with Watch():
        nst_mmd2(student, teacher, KERNELS[name]).sum().backward()
    assert max(sizes) <= 2 * max(48 * 48, 48 * 7 * 9)


def test_the_teacher_term_is_not_dropped():
    student, teacher = feature_maps()
    gain = nst_mmd2(student, teacher, PolynomialKernel()) - nst_mmd2(
        student, teacher[:, :1], PolynomialKernel()
    )
    assert gain.abs().min() > 1e-3
    assert nst_mmd2(student, teacher, PolynomialKernel()).min() >= 0


def test_feature_maps_of_different_batches_are_refused():
    student, teacher = feature_maps()
    with pytest.raises(ValueError, match=r'\(2, 5, 3, 4\).*\(1, 7, 3, 4\)'):
        nst_mmd2(student, teacher[:1], LinearKernel())


@pytest.mark.parametrize(
    ('kernel', 'option', 'message'),
    [
        (dict(type='PolinomialKernel'), '.type', "'PolinomialKernel': did you mean 'Poly"),
        (dict(type='PolynomialKernel', degree=0), '.degree', 'is 0, expected a whole number'),
        (dict(type='PolynomialKernel', degree=1.5), '.degree', 'degree is 1.5'),
        (dict(type='PolynomialKernel', degree=True), '.degree', 'degree is True'),
        (dict(type='PolynomialKernel', offset=-1), '.offset', 'offset is -1, expected'),
        (dict(type='PolynomialKernel', offset=math.inf), '.offset', 'offset is inf'),
        (dict(type='PolynomialKernel', degre=2), '.degre', "did you mean 'degree'"),
        (dict(type='GaussianKernel', sigma_squared=-1.0), '.sigma_squared', 'is -1.0, expected'),
        (dict(type='GaussianKernel', sigma_squared=0), '.sigma_squared', 'greater than 0, or None'),
        (dict(type='GaussianKernel', sigma_squared=math.nan), '.sigma_squared', 'is nan'),
        ('poly', '', "kernel is 'poly', expected a dict"),
        ({}, '', 'kernel is {}, expected a dict'),
        (dict(type='FasterRCNN'), '.type', "'FasterRCNN': choose from 'GaussianKernel'"),
    ],
)
def test_a_wrong_kernel_is_one_clear_line(kernel, option, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        NSTLoss(kernel=kernel)
    assert error.value.option == f'kernel{option}'
    assert message in str(error.value)

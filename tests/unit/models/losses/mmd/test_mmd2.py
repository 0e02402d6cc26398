"""MMD²: the choice of an implementation, and each one against references in float64."""

import importlib
from types import SimpleNamespace

import pytest
import torch

from benchmarks.formulations import autograd_over_bmm, broadcast
from benchmarks.timing import AllocationCount
from nst_det.models.losses import (
    GaussianKernel,
    Kernel,
    LinearKernel,
    NSTLoss,
    PolynomialKernel,
    mmd2,
    nst_mmd2,
)
from nst_det.models.losses.mmd.dual import dual_mmd2
from nst_det.models.losses.mmd.gram import GramMMD2, symmetric_gram
from nst_det.models.losses.mmd.mean import mean_mmd2

KERNELS = [
    LinearKernel(),
    PolynomialKernel(),
    PolynomialKernel(degree=3, offset=0.5),
    PolynomialKernel(degree=1),
    GaussianKernel(),
    GaussianKernel(sigma_squared=0.3),
]


class PlainKernel(Kernel):
    """xᵀy as a user would write it."""

    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return gram


class CauchyKernel(Kernel):
    """A kernel of a user's own, that gives no derivative."""

    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return 1 / (1 + sq_x + sq_y - 2 * gram)


def label(kernel):
    return '-'.join([type(kernel).__name__, *(str(value) for value in vars(kernel).values())])


def feature_map(*shape, seed=0, dtype=torch.float64, dead=()):
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(shape, generator=generator, dtype=torch.float64).relu()
    activations *= torch.logspace(-2, 2, shape[1], dtype=torch.float64)[:, None, None]
    activations[:, list(dead)] = 0
    return activations.to(dtype)


def value_and_gradient(function, student, teacher, kernel):
    student = student.clone().requires_grad_()
    value = function(student, teacher, kernel)
    weights = torch.arange(1, len(value) + 1, dtype=value.dtype)
    (weights * value).sum().backward()
    return value.detach(), student.grad


def relative_error(found, expected):
    return ((found.double() - expected).norm() / expected.norm()).item()


SHAPES = [
    ((2, 6, 4, 5), (2, 6, 4, 5)),
    ((2, 3, 4, 5), (2, 7, 4, 5)),
    ((3, 24, 3, 4), (3, 17, 3, 4)),  # more channels than positions
    ((1, 1, 1, 1), (1, 2, 1, 1)),
]


@pytest.mark.parametrize('kernel', [*KERNELS, CauchyKernel(), PlainKernel()], ids=label)
@pytest.mark.parametrize(('student', 'teacher'), SHAPES)
def test_mmd2_and_its_gradient_equal_the_broadcast_reference_to_1e_5(kernel, student, teacher):
    student, teacher = feature_map(*student, dead=[0]), feature_map(*teacher, seed=1, dead=[1])
    expected = value_and_gradient(broadcast, student, teacher, kernel)
    for found, wanted in zip(value_and_gradient(nst_mmd2, student, teacher, kernel), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    found = value_and_gradient(nst_mmd2, student.float(), teacher.float(), kernel)
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-5, atol=1e-6)
    if expected[1].norm() > 1e-9:
        assert relative_error(found[1], expected[1]) < 1e-5


@pytest.mark.parametrize('kernel', KERNELS, ids=label)
def test_mmd2_at_the_size_of_a_detector_equals_autograd_in_float64_to_1e_5(kernel):
    student, teacher = feature_map(1, 96, 19, 32), feature_map(1, 128, 19, 32, seed=1)
    expected = value_and_gradient(autograd_over_bmm, student, teacher, kernel)
    found = value_and_gradient(nst_mmd2, student.float(), teacher.float(), kernel)
    assert relative_error(found[0], expected[0]) < 1e-5
    assert relative_error(found[1], expected[1]) < 1e-5


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[2], KERNELS[5]], ids=label)
@pytest.mark.parametrize(('student', 'teacher'), SHAPES[:3])
def test_mmd2_has_the_gradients_of_finite_differences(kernel, student, teacher):
    student, teacher = (
        torch.rand(shape, dtype=torch.float64).requires_grad_() for shape in (student, teacher)
    )
    # σ² is given: the paper's choice is a constant to the gradient, but not to finite differences.
    assert torch.autograd.gradcheck(lambda s, t: nst_mmd2(s, t, kernel), (student, teacher))


@pytest.mark.parametrize('channels', [1, 127, 128, 129, 300])
def test_symmetric_gram_equals_the_full_product(channels):
    rows = torch.rand(2, channels, 50, dtype=torch.float64)
    gram = symmetric_gram(rows)
    torch.testing.assert_close(gram, rows @ rows.mT)


def value_and_gradients(implementation, x, y, *kernel):
    x, y = (rows.clone().requires_grad_() for rows in (x, y))
    value = implementation(x, y, *kernel)
    weights = torch.arange(1, len(value) + 1, dtype=value.dtype)
    return value.detach(), *torch.autograd.grad((weights * value).sum(), (x, y))


@pytest.mark.parametrize('shape', [(2, 9, 2, 3), (2, 4, 5, 6)])
@pytest.mark.parametrize(
    ('shortcut', 'kernel'),
    [
        (mean_mmd2, LinearKernel()),
        (mean_mmd2, PolynomialKernel(degree=1)),
        (dual_mmd2, PolynomialKernel()),
    ],
)
def test_a_shortcut_equals_the_gram_matrices_in_value_and_gradients(shortcut, kernel, shape):
    x = feature_map(*shape, dead=[0]).flatten(2)
    y = feature_map(2, 7, *shape[2:], seed=1, dead=[2]).flatten(2)
    found = value_and_gradients(shortcut, x, y)
    expected = value_and_gradients(GramMMD2.apply, x, y, kernel)
    torch.testing.assert_close(found, expected)
    assert not found[1][:, 0].any() and not found[2][:, 2].any()  # the dead channels


class Chosen:
    """Replaces the implementations that mmd2 can choose, and keeps the name of the chosen one."""

    def __init__(self, monkeypatch):
        self.name = None
        module = importlib.import_module('nst_det.models.losses.mmd.mmd2')
        for name in ('mean_mmd2', 'dual_mmd2'):
            monkeypatch.setattr(module, name, self.recorder(name, getattr(module, name)))
        gram = SimpleNamespace(apply=self.recorder('GramMMD2', GramMMD2.apply))
        monkeypatch.setattr(module, 'GramMMD2', gram)

    def recorder(self, name, implementation):
        def run(*args):
            self.name = name
            return implementation(*args)

        return run


@pytest.fixture
def chosen(monkeypatch):
    return Chosen(monkeypatch)


class TwiceTheSquare(PolynomialKernel):
    """A subclass that overrides only `values`."""

    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return 2 * gram**2


class Damped(LinearKernel):
    """Likewise, of the linear kernel."""

    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return gram / (1 + gram**2)


FEW, MANY = 4, 12  # positions, for 9 and 7 channels


@pytest.mark.parametrize(
    ('kernel', 'positions', 'expected'),
    [
        (LinearKernel(), FEW, 'mean_mmd2'),
        (LinearKernel(), MANY, 'mean_mmd2'),
        (PolynomialKernel(degree=1), MANY, 'mean_mmd2'),
        (PolynomialKernel(degree=1, offset=0.5), MANY, 'GramMMD2'),
        (PolynomialKernel(), FEW, 'dual_mmd2'),
        (PolynomialKernel(), 7, 'GramMMD2'),  # as many as the smaller number of channels
        (PolynomialKernel(), MANY, 'GramMMD2'),
        (PolynomialKernel(offset=0.5), FEW, 'GramMMD2'),
        (PolynomialKernel(degree=3), FEW, 'GramMMD2'),
        (GaussianKernel(), FEW, 'GramMMD2'),
        (CauchyKernel(), FEW, 'GramMMD2'),
        (PlainKernel(), FEW, 'GramMMD2'),
        (TwiceTheSquare(), FEW, 'GramMMD2'),
        (Damped(), FEW, 'GramMMD2'),
    ],
)
def test_mmd2_chooses_by_what_the_kernel_computes(chosen, kernel, positions, expected):
    x, y = torch.rand(1, 9, positions), torch.rand(1, 7, positions)
    mmd2(x, y, kernel)
    assert chosen.name == expected


@pytest.mark.parametrize('kernel', [TwiceTheSquare(), Damped()], ids=label)
@pytest.mark.parametrize(('student', 'teacher'), SHAPES[:3])
def test_a_subclass_that_overrides_values_alone_has_its_own_value_and_gradient(
    kernel, student, teacher
):
    student, teacher = feature_map(*student, dead=[0]), feature_map(*teacher, seed=1, dead=[1])
    expected = value_and_gradient(broadcast, student, teacher, kernel)
    found = value_and_gradient(nst_mmd2, student, teacher, kernel)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[4]], ids=label)
def test_mmd2_allows_two_backward_passes_through_one_graph(kernel):
    student = feature_map(1, 4, 3, 3).requires_grad_()
    value = nst_mmd2(student, feature_map(1, 4, 3, 3, seed=1), kernel).sum()
    (first,) = torch.autograd.grad(value, student, retain_graph=True)
    (second,) = torch.autograd.grad(value, student)
    assert torch.equal(first, second)


@pytest.mark.parametrize('kernel', [KERNELS[1], KERNELS[4]], ids=label)
def test_gram_mmd2_refuses_a_second_derivative(kernel):
    student = feature_map(1, 4, 3, 3).requires_grad_()
    value = nst_mmd2(student, feature_map(1, 4, 3, 3, seed=1), kernel).sum()
    assert 'Gram' in type(value.grad_fn.next_functions[0][0]).__name__
    with pytest.raises(RuntimeError, match='can be differentiated only once'):
        torch.autograd.grad(value, student, create_graph=True)


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[4]], ids=label)
def test_mmd2_of_equal_feature_maps_is_zero_in_float32(kernel):
    student = feature_map(2, 64, 9, 11, dtype=torch.float32)
    assert nst_mmd2(student, student, kernel).abs().max() < 1e-7


@pytest.mark.parametrize('kernel', [PolynomialKernel(), GaussianKernel()], ids=label)
def test_gram_mmd2_allocates_at_most_four_gram_matrices_in_its_forward_pass(kernel):
    channels, positions = 128, 400
    x, y = (torch.rand(2, channels, positions) for _ in '12')
    y.requires_grad_()
    with AllocationCount([x, y]) as memory:
        mmd2(x, y, kernel)
    gram = 2 * channels**2 * 4
    assert gram < memory.peak <= 4.3 * gram  # and some vectors of norms


def test_the_loss_of_half_precision_feature_maps_is_computed_in_float32():
    student, teacher = feature_map(2, 8, 5, 5), feature_map(2, 8, 5, 5, seed=1)
    halves = student.half(), teacher.half()
    loss = NSTLoss(2.0)
    torch.testing.assert_close(loss(*halves), loss(*(half.float() for half in halves)))

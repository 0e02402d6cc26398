"""The analytic gradients: against autograd in float64, finite differences, memory and the floor."""

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
    nst_mmd2,
)
from nst_det.models.losses.mmd.dual import DualMMD2
from nst_det.models.losses.mmd.gram import GramMMD2, symmetric_gram

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


def ident(kernel):
    return '-'.join([type(kernel).__name__, *(str(value) for value in vars(kernel).values())])


def maps(*shape, seed=0, dtype=torch.float64, dead=()):
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(shape, generator=generator, dtype=torch.float64).relu()
    one *= torch.logspace(-2, 2, shape[1], dtype=torch.float64)[:, None, None]
    one[:, list(dead)] = 0
    return one.to(dtype)


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


@pytest.mark.parametrize('kernel', [*KERNELS, CauchyKernel(), PlainKernel()], ids=ident)
@pytest.mark.parametrize(('student', 'teacher'), SHAPES)
def test_value_and_gradient_are_the_references_to_1e_5(kernel, student, teacher):
    student, teacher = maps(*student, dead=[0]), maps(*teacher, seed=1, dead=[1])
    expected = value_and_gradient(broadcast, student, teacher, kernel)
    for found, wanted in zip(value_and_gradient(nst_mmd2, student, teacher, kernel), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    found = value_and_gradient(nst_mmd2, student.float(), teacher.float(), kernel)
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-5, atol=1e-6)
    if expected[1].norm() > 1e-9:
        assert relative_error(found[1], expected[1]) < 1e-5


@pytest.mark.parametrize('kernel', KERNELS, ids=ident)
def test_at_a_detectors_size_the_gradient_is_exact_to_1e_5(kernel):
    student, teacher = maps(1, 96, 19, 32), maps(1, 128, 19, 32, seed=1)
    expected = value_and_gradient(autograd_over_bmm, student, teacher, kernel)
    found = value_and_gradient(nst_mmd2, student.float(), teacher.float(), kernel)
    assert relative_error(found[0], expected[0]) < 1e-5
    assert relative_error(found[1], expected[1]) < 1e-5


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[2], KERNELS[5]], ids=ident)
@pytest.mark.parametrize(('student', 'teacher'), SHAPES[:3])
def test_both_gradients_are_those_of_finite_differences(kernel, student, teacher):
    student, teacher = (
        torch.rand(shape, dtype=torch.float64).requires_grad_() for shape in (student, teacher)
    )
    # The paper's σ² is a constant to the gradient and not to a finite difference: it is given here.
    assert torch.autograd.gradcheck(lambda s, t: nst_mmd2(s, t, kernel), (student, teacher))


@pytest.mark.parametrize('channels', [1, 127, 128, 129, 300])
def test_a_symmetric_product_is_the_whole_one(channels):
    rows = torch.rand(2, channels, 50, dtype=torch.float64)
    gram = symmetric_gram(rows)
    torch.testing.assert_close(gram, rows @ rows.mT)


@pytest.mark.parametrize('shape', [(2, 9, 2, 3), (2, 4, 5, 6)])
def test_the_dual_path_is_the_primal_one(shape):
    x, y = (maps(*shape, seed=seed).flatten(2).requires_grad_() for seed in (0, 1))
    found = []
    for value in (DualMMD2.apply(x, y), GramMMD2.apply(x, y, PolynomialKernel())):
        found.append((value, *torch.autograd.grad(value.sum(), (x, y))))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other)


def test_the_dual_path_is_taken_where_there_are_fewer_positions_than_channels():
    node = PolynomialKernel().mmd2(torch.rand(1, 9, 4), torch.rand(1, 9, 4, requires_grad=True))
    assert 'Dual' in type(node.grad_fn).__name__
    node = PolynomialKernel().mmd2(torch.rand(1, 3, 4), torch.rand(1, 9, 4, requires_grad=True))
    assert 'Gram' in type(node.grad_fn).__name__


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[4]], ids=ident)
def test_the_graph_serves_two_backward_passes(kernel):
    student = maps(1, 4, 3, 3).requires_grad_()
    value = nst_mmd2(student, maps(1, 4, 3, 3, seed=1), kernel).sum()
    (first,) = torch.autograd.grad(value, student, retain_graph=True)
    (second,) = torch.autograd.grad(value, student)
    assert torch.equal(first, second)


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[4]], ids=ident)
def test_a_second_derivative_says_that_there_is_none(kernel):
    student = maps(1, 4, 3, 3).requires_grad_()
    value = nst_mmd2(student, maps(1, 4, 3, 3, seed=1), kernel).sum()
    with pytest.raises(RuntimeError, match='can be differentiated once'):
        torch.autograd.grad(value, student, create_graph=True)


@pytest.mark.parametrize('kernel', [KERNELS[0], KERNELS[1], KERNELS[4]], ids=ident)
def test_equal_maps_are_at_no_distance(kernel):
    one = maps(2, 64, 9, 11, dtype=torch.float32)
    assert nst_mmd2(one, one, kernel).abs().max() < 1e-7


@pytest.mark.parametrize('kernel', [PolynomialKernel(), GaussianKernel()], ids=ident)
def test_the_forward_pass_needs_at_most_four_gram_matrices(kernel):
    channels, positions = 128, 400
    x, y = (torch.rand(2, channels, positions) for _ in '12')
    y.requires_grad_()
    with AllocationCount([x, y]) as memory:
        kernel.mmd2(x, y)
    gram = 2 * channels**2 * 4
    assert memory.peak <= 4.3 * gram  # and some vectors of norms


def test_half_precision_is_computed_in_single():
    student, teacher = maps(2, 8, 5, 5), maps(2, 8, 5, 5, seed=1)
    halves = student.half(), teacher.half()
    loss = NSTLoss(2.0)
    torch.testing.assert_close(loss(*halves), loss(*(one.float() for one in halves)))

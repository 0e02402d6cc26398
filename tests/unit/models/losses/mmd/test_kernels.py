"""Kernels: their derivatives, and what a kernel of a user's own has to bring."""

import pytest
import torch

from nst_det.models.losses import GaussianKernel, Kernel, LinearKernel, PolynomialKernel


def gram_and_norms():
    patterns = torch.nn.functional.normalize(torch.rand(2, 5, 7, dtype=torch.float64), dim=2)
    squares = patterns.square().sum(2, keepdim=True)
    return patterns @ patterns.mT, squares, squares.mT


class OwnKernel(Kernel):
    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return gram.sin()


class OwnPolynomial(PolynomialKernel):
    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return gram.sin()


class WithItsDerivative(PolynomialKernel):
    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return 3 * gram

    def derivative(self, gram, sq_x, sq_y, bandwidth, values):
        return torch.full_like(gram, 3.0)


class SubclassOfThat(WithItsDerivative):
    """Overrides nothing."""


class SineMixin:
    def values(self, gram, sq_x, sq_y, bandwidth=None):
        return gram.sin()


class MixedIn(SineMixin, GaussianKernel):
    """Takes `values` from a class that is no kernel."""


@pytest.mark.parametrize(
    'kernel',
    [
        LinearKernel(),
        PolynomialKernel(),
        PolynomialKernel(degree=1),
        PolynomialKernel(degree=4, offset=0.5),
        GaussianKernel(),
        GaussianKernel(0.4),
        OwnKernel(),
        OwnPolynomial(),
        WithItsDerivative(),
        SubclassOfThat(),
        MixedIn(),
    ],
    ids=lambda kernel: type(kernel).__name__,
)
def test_the_derivative_of_a_kernel_is_that_of_its_values(kernel):
    gram, sq_x, sq_y = gram_and_norms()
    bandwidth = kernel.bandwidth(gram, sq_x, sq_y)
    leaf = gram.clone().requires_grad_()
    values = kernel.values(leaf, sq_x, sq_y, bandwidth)
    (expected,) = torch.autograd.grad(values.sum(), leaf)
    found = kernel.derivative(gram, sq_x, sq_y, bandwidth, values.detach().clone())
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous()


def test_a_kernel_keeps_the_derivative_that_it_brings():
    assert SubclassOfThat.derivative is WithItsDerivative.derivative
    assert OwnPolynomial.derivative is Kernel.derivative


def test_the_gaussian_bandwidth_is_the_mean_squared_distance_of_the_pairs():
    x, y = (torch.rand(1, channels, 4, dtype=torch.float64) for channels in (3, 5))
    squares = [rows.square().sum(2, keepdim=True) for rows in (x, y)]
    found = GaussianKernel().bandwidth(x @ y.mT, squares[0], squares[1].mT)
    expected = sum((a - b).square().sum() for a in x[0] for b in y[0]) / 15
    torch.testing.assert_close(found, expected.view(1, 1, 1))


def test_the_gaussian_bandwidth_of_equal_patterns_is_one():
    ones = torch.ones(1, 2, 2)
    assert GaussianKernel().bandwidth(ones, ones[:, :, :1], ones[:, :1]).item() == 1

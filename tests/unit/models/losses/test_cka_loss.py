"""CKA against the estimator with its matrices of positions, and against a U-statistic."""

import itertools

import pytest
import torch

from nst_det.models.losses import CKALoss, PolynomialKernel, cka, nst_mmd2


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hsic(k, m):
    """HSIC₁ of Song et al. 2012, with the n × n matrices."""
    n = len(k)
    k, m = (matrix - torch.diag(matrix.diagonal()) for matrix in (k, m))
    ones = torch.ones(n, dtype=torch.float64)
    value = torch.trace(k @ m)
    value = value + (ones @ k @ ones) * (ones @ m @ ones) / (n - 1) / (n - 2)
    value = value - 2 / (n - 2) * (ones @ k @ m @ ones)
    return value / n / (n - 3)


def reference(student, teacher, mask):
    """The sums over the images of HSIC₁, and their ratio (Nguyen et al. 2021, eq. 2)."""
    sums = [0.0, 0.0, 0.0]
    for n in range(len(student)):
        x, y = (features[n][:, mask[n, 0]] for features in (student, teacher))
        k, m = x.T @ x, y.T @ y
        if len(k) >= 4:
            for i, pair in enumerate([(k, m), (k, k), (m, m)]):
                sums[i] = sums[i] + hsic(*pair)
    return sums[0] / (sums[1] * sums[2]) ** 0.5


@pytest.mark.parametrize('masked', [False, True])
def test_cka_equals_the_estimator_with_matrices_of_positions(masked):
    student, teacher = feature_map(3, 3, 4, 5) + 2, feature_map(3, 6, 4, 5, seed=1)
    teacher[:, :3] += student
    mask = torch.zeros(3, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :3], mask[1, :, :, :2], mask[2, :, 0, :3] = True, True, True  # 15, 8 and 3
    mask = mask if masked else torch.ones_like(mask)
    expected = reference(student, teacher, mask)
    assert 0.2 < expected < 0.9
    torch.testing.assert_close(cka(student, teacher, mask if masked else None), expected)
    loss = CKALoss(3.0)(student, teacher, mask if masked else None)
    torch.testing.assert_close(loss, 3 * (1 - expected))


def test_the_estimator_is_the_mean_over_all_quadruples_of_positions():
    """HSIC₁ is the U-statistic of the kernel of Song et al. 2012, so it has no bias."""
    x, y = feature_map(2, 5), feature_map(3, 5, seed=1)
    k, m = x.T @ x, y.T @ y
    terms = []
    for i, j, q, r in itertools.permutations(range(5), 4):
        terms.append(k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]))
    torch.testing.assert_close(hsic(k, m), sum(terms) / len(terms))


def test_independent_feature_maps_have_no_alignment_on_average():
    values = [
        cka(feature_map(4, 3, 6, 6, seed=2 * i), feature_map(4, 8, 6, 6, seed=2 * i + 1)).item()
        for i in range(200)
    ]
    assert sum(values) / len(values) == pytest.approx(0, abs=0.01)


def test_a_rotation_of_the_channels_a_scale_and_a_shift_do_not_count():
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 6, 4, 5, seed=1)
    rotation, _ = torch.linalg.qr(feature_map(3, 3, seed=2))
    changed = 1e-5 * torch.einsum('ts,nshw->nthw', rotation, student) + 7
    torch.testing.assert_close(cka(changed, teacher), cka(student, teacher))
    torch.testing.assert_close(cka(changed, student), torch.ones((), dtype=torch.float64))


def test_large_means_cost_no_digits_in_float32():
    student, teacher = feature_map(2, 3, 8, 8), feature_map(2, 6, 8, 8, seed=1)
    teacher[:, :3] += student
    expected = cka(student, teacher)
    found = cka((student + 100).float(), (teacher + 100).float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0)


def test_cka_and_nst_compare_the_same_matrices_of_positions():
    """‖K_T − K_S‖² of the matrices: NST of normalised channels, 1 − CKA of centred matrices."""
    student, teacher = feature_map(1, 12, 4, 5), feature_map(1, 16, 4, 5, seed=1)
    grams = []
    for features in (student, teacher):
        rows = torch.nn.functional.normalize(features[0].flatten(1), dim=1)
        grams.append(rows.T @ rows / len(rows))
    nst = nst_mmd2(student, teacher, PolynomialKernel(degree=2))
    torch.testing.assert_close(nst[0], (grams[0] - grams[1]).square().sum())
    centre = torch.eye(20, dtype=torch.float64) - 1 / 20
    unit = []
    for features in (student, teacher):
        gram = centre @ (features[0].flatten(1).T @ features[0].flatten(1)) @ centre
        unit.append(gram / gram.norm())
    biased = (unit[0] * unit[1]).sum()  # CKA of Kornblith et al. 2019
    torch.testing.assert_close(1 - biased, (unit[0] - unit[1]).square().sum() / 2)
    # From 20 positions of independent values the biased estimate is far above 0.
    assert biased > 0.3 and abs(cka(student, teacher)) < 0.15


def test_a_constant_feature_map_has_no_alignment_and_no_gradient():
    student = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    value = cka(student, torch.rand(1, 2, 4, 4))
    value.backward()
    assert value == 0 and not student.grad.any()

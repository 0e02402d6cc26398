"""Channel-wise distillation against its formula in plain Python sums."""

import math

import pytest
import torch

from nst_det.models.losses import CWDLoss


def feature_map(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


def softmax(values, temperature):
    powers = [math.exp(value / temperature) for value in values]
    return [power / sum(powers) for power in powers]


def reference(student, teacher, temperature, mask):
    """τ²/C Σ_c Σ_i φ_T log(φ_T / φ_S), the mean over the images."""
    total = 0.0
    for n in range(len(student)):
        for c in range(student.shape[1]):
            p, q = (
                softmax(features[n, c][mask[n, 0]].tolist(), temperature)
                for features in (teacher, student)
            )
            total += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q))
    return total / len(student) / student.shape[1]


@pytest.mark.parametrize('temperature', [1.0, 4.0])
@pytest.mark.parametrize('masked', [False, True])
def test_cwd_loss_equals_the_formula(temperature, masked):
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    mask = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    mask[0, :, :3], mask[1, :, :, :2] = True, True
    mask = mask if masked else torch.ones_like(mask)
    expected = 7 * reference(student, teacher, temperature, mask)
    found = CWDLoss(7.0, temperature)(student, teacher, mask if masked else None)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_a_channel_that_is_active_at_another_position_is_the_difference_of_the_logits_apart():
    # Two positions with logits (x, 0) and (0, x): Σ p (log p − log q) = (p₁ − p₂) x.
    x = math.log(3)
    student, teacher = (torch.tensor(row).reshape(1, 1, 1, 2) for row in ([0.0, x], [x, 0.0]))
    assert CWDLoss(1.0)(student, teacher).item() == pytest.approx((3 / 4 - 1 / 4) * x)


def test_the_mean_of_a_channel_does_not_count():
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    shift = feature_map(2, 3, 1, 1, seed=2)
    loss = CWDLoss(1.0)
    torch.testing.assert_close(loss(student + shift, teacher), loss(student, teacher))


def test_large_activations_do_not_overflow():
    student, teacher = (1e4 * feature_map(1, 2, 4, 4, seed=seed).float() for seed in (0, 1))
    value = CWDLoss(1.0)(student.requires_grad_(), teacher)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()

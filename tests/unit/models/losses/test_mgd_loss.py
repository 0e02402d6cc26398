"""Masked generative distillation against its formula, with the convolutions written out."""

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.losses import MGDLoss


def feature_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def connected(**options):
    torch.manual_seed(3)
    loss = MGDLoss(2.0, **options)
    loss.connect(3, 3)
    return loss.double()


def convolve(features, layer):
    """A 3×3 convolution with zero padding, as a sum over shifted copies."""
    weight, bias = layer.weight.detach(), layer.bias.detach()
    height, width = features.shape[2:]
    padded = torch.zeros(*features.shape[:2], height + 2, width + 2, dtype=torch.float64)
    padded[:, :, 1:-1, 1:-1] = features
    return bias[:, None, None] + sum(
        torch.einsum(
            'ts,nshw->nthw', weight[:, :, y, x], padded[:, :, y : y + height, x : x + width]
        )
        for y in range(3)
        for x in range(3)
    )


@pytest.mark.parametrize('ratio', [0.0, 0.4, 1.0])
def test_mgd_loss_equals_the_formula(ratio):
    loss = connected(mask_ratio=ratio)
    student, teacher = feature_map(2, 3, 4, 5), feature_map(2, 3, 4, 5, seed=1)
    torch.manual_seed(7)
    shown = torch.rand(2, 1, 4, 5) <= 1 - ratio
    hidden = convolve(student * shown, loss.generator[0]).clamp(min=0)
    generated = convolve(hidden, loss.generator[2])
    expected = 2 * ((teacher - generated) ** 2).sum() / 2  # a weight of 2, and two images
    torch.manual_seed(7)
    torch.testing.assert_close(loss(student, teacher), expected)


def test_the_mask_hides_its_share_of_the_positions_in_all_channels_and_changes():
    loss = connected(mask_ratio=0.65)
    seen = []
    loss.generator[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for _ in range(2):
        loss(torch.ones(4, 3, 50, 50), torch.ones(4, 3, 50, 50))
    first, second = ((inputs == 0).double() for inputs in seen)
    assert first.mean().item() == pytest.approx(0.65, abs=0.02)
    assert torch.equal(first, first[:, :1].expand_as(first))
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])


def test_the_generator_learns_and_is_part_of_the_loss():
    loss = connected()
    assert {key.split('.')[0] for key in loss.state_dict()} == {'generator'}
    loss(feature_map(1, 3, 4, 5), feature_map(1, 3, 4, 5, seed=1)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in loss.generator.parameters())


def test_a_generator_that_copies_gives_a_loss_of_0():
    loss = connected(mask_ratio=0.0)
    for layer in loss.generator[::2]:
        torch.nn.init.dirac_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    positive = feature_map(1, 3, 4, 5).abs()
    assert loss(positive, positive) == 0


def test_a_generator_that_no_optimizer_could_know_is_refused():
    loss = MGDLoss()
    assert loss.needs_channels
    with pytest.raises(
        UserError, match='MGDLoss: its generator was not built before the optimizer'
    ):
        loss(torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5))

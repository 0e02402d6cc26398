"""The pre-activation ResNet: its published sizes, and its activation checkpointing."""

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models import PreActivationResNet


@pytest.mark.parametrize('depth, published', [(164, 1.7e6), (1001, 10.2e6)])
def test_the_number_of_parameters_is_the_published_one(depth, published):
    with torch.device('meta'):
        network = PreActivationResNet(depth)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    shortcuts = 3
    assert len(convolutions) - shortcuts + 1 == depth  # and the classifier
    count = sum(parameter.numel() for parameter in network.parameters()) + 257 * 10
    assert count == pytest.approx(published, rel=0.02)


def test_the_feature_maps_have_strides_1_2_and_4():
    network = PreActivationResNet(11, base_channels=4, out_indices=(0, 1, 2))
    shapes = [tuple(out.shape) for out in network(torch.rand(2, 3, 32, 32))]
    assert shapes == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]


def test_checkpointing_changes_neither_gradients_nor_statistics():
    torch.manual_seed(0)
    plain = PreActivationResNet(20, base_channels=4)
    saving = PreActivationResNet(20, base_channels=4, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.rand(4, 3, 16, 16)
    kept = []
    for network in (plain, saving):
        network.train()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor,
            lambda tensor: tensor,
        ):
            (feature_map,) = network(images)
        kept.append(sum(sizes))
        feature_map.square().sum().backward()
    assert kept[1] < kept[0] / 3
    for name, parameter in plain.named_parameters():
        assert torch.equal(saving.get_parameter(name).grad, parameter.grad), name
    for name, value in plain.state_dict().items():
        assert torch.equal(saving.state_dict()[name], value), name


@pytest.mark.parametrize('options', [dict(depth=50), dict(out_indices=(3,)), dict(with_cp=1)])
def test_wrong_options_are_refused(options):
    with pytest.raises(UserError, match=f'PreActivationResNet.{next(iter(options))}'):
        PreActivationResNet(**options)

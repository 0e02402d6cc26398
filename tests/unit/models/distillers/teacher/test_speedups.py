"""A speed-up of a frozen network is kept if its outputs stay the same to float32 rounding."""

import re

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from nst_det.models.distillers.teacher.speedups import ChannelsLast, ConvBNFusion, apply_speedups


class Network(nn.Module):
    """A convolution, two batch norms with statistics of their own, and a way to join them."""

    def __init__(self, join):
        super().__init__()
        torch.manual_seed(0)
        # In no order that tells which batch norm comes after which convolution.
        self.bn, self.other_bn = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.second, self.conv = nn.Conv2d(8, 8, 3), nn.Conv2d(3, 8, 3, bias=False)
        for bn in (self.bn, self.other_bn):
            nn.init.normal_(bn.running_mean)
            nn.init.uniform_(bn.running_var, 0.5, 2)
            nn.init.uniform_(bn.weight)
            nn.init.normal_(bn.bias)
        self.join = join
        self.eval().requires_grad_(False)

    def forward(self, images):
        return self.join(self, images)


def in_line(net, images):
    return net.other_bn(net.second(net.bn(net.conv(images)).relu_()))


def shared_by_two(net, images):
    return net.bn(net.conv(images)) + net.other_bn(net.conv(images))


def used_before_its_batch_norm(net, images):
    return (given := net.conv(images)) + net.bn(given)


def viewed(net, images):
    return net.conv(images).view(-1)


def rounded(net, images):
    # So large a bias rounds off what the batch norm then looks for; fused, the two cancel out.
    net.second.bias[:] = net.other_bn.running_mean[:] = 1e6
    return in_line(net, images)


IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def in_effect(net, fuse=True, channels_last=False, kept=()):
    speedups = apply_speedups(net, lambda: [net(IMAGES)], fuse, channels_last, kept)
    return [type(speedup) for speedup in speedups]


def test_batch_norms_are_folded_along_the_flow_of_the_data():
    net = Network(in_line)
    before = net(IMAGES)
    assert in_effect(net, channels_last=True) == [ConvBNFusion, ChannelsLast]
    torch.testing.assert_close(net(IMAGES), before)
    net.bn.running_mean += 1  # it is not used any more
    torch.testing.assert_close(net(IMAGES), before)


def test_the_activation_inside_a_batch_norm_of_timm_still_runs():
    class WithActivation(Network):
        def __init__(self):
            super().__init__(in_line)
            self.other_bn = BatchNormAct2d(8).eval().requires_grad_(False)
            nn.init.normal_(self.other_bn.bias)

    net = WithActivation()
    before = net(IMAGES)
    assert in_effect(net) == [ConvBNFusion]
    torch.testing.assert_close(net(IMAGES), before)
    assert before.min() == 0


def test_a_kept_convolution_gives_the_same_output():
    net = Network(in_line)
    before = net.conv(IMAGES)
    assert in_effect(net, kept=[net.conv]) == [ConvBNFusion]
    assert torch.equal(net.conv(IMAGES), before)


@pytest.mark.parametrize('join', [shared_by_two, used_before_its_batch_norm])
def test_a_network_that_cannot_be_folded_stays_the_same_bit_for_bit(join):
    net = Network(join)
    before = net(IMAGES)
    assert in_effect(net) == []
    assert torch.equal(net(IMAGES), before)


@pytest.mark.parametrize(
    ('join', 'line'),
    [
        (rounded, 'runs without batch norms folded .*: its outputs change by'),
        (viewed, 'runs without channels last in memory: RuntimeError: view size'),
    ],
)
def test_a_speedup_that_is_undone_is_logged(join, line, monkeypatch):
    said = []
    monkeypatch.setattr(
        'nst_det.models.distillers.teacher.speedups.print_log', lambda text, *_: said.append(text)
    )
    net = Network(join)
    before = net(IMAGES)
    assert ChannelsLast not in in_effect(net, channels_last=join is viewed)
    assert len(said) == 1
    assert re.search(line, said[0])
    assert torch.equal(net(IMAGES), before)


def test_undoing_the_speedups_restores_the_network_bit_for_bit():
    net = Network(in_line)
    before = net(IMAGES)
    for speedup in reversed(apply_speedups(net, lambda: [net(IMAGES)], True, True, ())):
        speedup.undo()
    assert torch.equal(net(IMAGES), before)


def test_a_folded_network_can_be_cast_and_moved():
    net = Network(in_line)
    before = net(IMAGES)
    apply_speedups(net, lambda: [net(IMAGES)], True, True, ())
    torch.testing.assert_close(net.double()(IMAGES.double()).float(), before)
    assert {one.device.type for one in net.to('meta').parameters()} == {'meta'}

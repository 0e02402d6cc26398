"""Taps: how a layer is named, and what is recorded of it."""

import pytest
import torch
from torch import nn

from nst_det.errors import UserError
from nst_det.models.distillers.tap import Tap, record


class Net(nn.Module):
    """A stem that runs once, a head that runs twice, and modules that return several maps."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, 4, 1)
        self.pair = Returns(lambda x: (x, 2 * x))
        self.named = Returns(lambda x: {'c4': x, 'c5': 3 * x})
        self.single = Returns(lambda x: [x])
        self.flat = nn.Flatten()
        self.unused = nn.Identity()

    def forward(self, x):
        x = self.stem(x)
        self.pair(x), self.named(x), self.single(x), self.flat(x)
        return self.head(self.head(x))


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


IMAGE = torch.arange(12.0).view(1, 3, 2, 2)


def tapped(*layers, stop_early=False):
    net = Net()
    with record(net, [Tap(layer) for layer in layers], 'student', stop_early) as maps:
        net(IMAGE)
    return net, maps


@pytest.mark.parametrize(
    ('layer', 'factor'),
    [
        ('stem', 1),
        ('pair[0]', 1),
        ('pair[1]', 2),
        ('pair[-1]', 2),
        ("named['c5']", 3),
        ('single', 1),
    ],
)
def test_a_map_is_picked_by_its_spelling(layer, factor):
    net, (one,) = tapped(layer)
    assert torch.equal(one, factor * net.stem(IMAGE))


def test_two_taps_of_one_module_run_it_once():
    net, (first, second) = tapped('pair[0]', 'pair[1]')
    assert torch.equal(second, 2 * first)
    assert not net.pair._forward_hooks


def test_an_early_stop_leaves_after_the_last_tap():
    net = Net()
    net.head.register_forward_hook(lambda *_: pytest.fail('the head ran'))
    with record(net, [Tap('stem')], 'teacher', stop_early=True) as maps:
        net(IMAGE)
    assert len(maps) == 1


def test_an_error_of_the_forward_pass_leaves_no_hook():
    net = Net()
    with pytest.raises(RuntimeError), record(net, [Tap('stem')], 'student'):
        net(torch.zeros(1, 5, 2, 2))
    assert not net.stem._forward_hooks


@pytest.mark.parametrize(
    ('layer', 'message'),
    [
        ('steem', "has no layer 'steem': did you mean 'stem'?"),
        ('head', "'head' runs more than once"),
        ('unused', "'unused' did not run"),
        ('pair', "'pair' returns 2 maps: choose one of pair[0], pair[1]"),
        ('pair[2]', "returns 2 maps: choose one of pair[0], pair[1]"),
        ('named', "choose one of named['c4'], named['c5']"),
        ('stem[0]', "returns one map, not a sequence: write 'stem'"),
        ('flat', "'flat' gives (1, 16), expected a feature map (N, C, H, W)"),
    ],
)
def test_a_tap_that_cannot_be_is_one_clear_line(layer, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        tapped(layer)
    assert message in str(error.value)

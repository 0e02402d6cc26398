"""Taps: how a layer is named, and what is recorded of it."""

import pytest
import torch
from torch import nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap


class Net(nn.Module):
    """A stem that runs once, a head that runs twice, and modules that return several maps."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, 4, 1)
        self.pair = Returns(lambda x: (x, 2 * x))
        self.named = Returns(lambda x: {'c4': x, 'c5': 3 * x})
        self.single = Returns(lambda x: [x])
        self.deep = Returns(lambda x: [x, {'c4': 4 * x, 'c5': 5 * x}])
        self.twice = Returns(lambda x: [2 * x])
        self.flat = nn.Flatten()
        self.unused = nn.Identity()

    def forward(self, x):
        x = self.stem(x)
        self.pair(x), self.named(x), self.single(x), self.flat(x), self.deep(x)
        self.twice(x)[0].relu_()
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
        ('deep[0]', 1),
        ("deep[-1]['c5']", 5),
    ],
)
def test_a_map_is_picked_by_its_spelling(layer, factor):
    net, (one,) = tapped(layer)
    assert torch.equal(one, factor * net.stem(IMAGE))


def test_two_taps_of_one_module_run_it_once():
    net, (first, second) = tapped('pair[0]', 'pair[1]')
    assert torch.equal(second, 2 * first)
    assert not net.pair._forward_hooks


def test_a_run_of_a_module_is_chosen_by_its_number():
    net, (second, first) = tapped('head@1', 'head@0')
    assert torch.equal(first, net.head(net.stem(IMAGE)))
    assert torch.equal(second, net.head(first))


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
        (
            'head',
            "'head' runs 2 times in a forward pass: choose one, from 'head@0' to 'head@1'",
        ),
        ('head@2', "'head' runs 2 times in a forward pass: choose one, from 'head@0' to 'head@1'"),
        ('stem@1', "'stem' runs once in a forward pass: write 'stem' without '@'"),
        ('twice[0]', "'twice' returns a feature map that a later module overwrites in place"),
        ('deep[1]', "gives 2 values: choose one of deep[1]['c4'], deep[1]['c5']"),
        ('unused', "'unused' did not run"),
        ('pair', "'pair' gives 2 values: choose one of pair[0], pair[1]"),
        ('pair[2]', 'gives 2 values: choose one of pair[0], pair[1]'),
        ('named', "choose one of named['c4'], named['c5']"),
        ('stem[0]', "gives one feature map, not a sequence: write 'stem'"),
        ('flat', "'flat' gives (1, 16), expected a feature map (N, C, H, W)"),
        ('stem@x', "layer is 'stem@x', expected a module path"),
        ('stem/0', "layer is 'stem/0', expected a module path"),
    ],
)
def test_a_tap_that_cannot_be_is_one_clear_line(layer, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        tapped(layer)
    assert message in str(error.value)


# Transformers' sequences.

IMAGES = 2, 3, 100, 140  # maps of 25 × 35, 13 × 18, 7 × 9, 4 × 5


def sequence(*strides):
    """Positions one after another; every one holds its stride, row and column."""
    levels = []
    for stride in strides:
        h, w = -(-IMAGES[2] // stride), -(-IMAGES[3] // stride)
        rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
        levels.append(torch.stack([torch.full((h, w), stride), rows, columns], 2).flatten(0, 1))
    return torch.cat(levels).expand(2, -1, 3)


def check(feature_map, stride):
    assert feature_map.shape == (2, 3, -(-IMAGES[2] // stride), -(-IMAGES[3] // stride))
    assert feature_map[:, 0].eq(stride).all()
    assert feature_map[0, :, 2, 3].tolist() == [stride, 2, 3]


@pytest.mark.parametrize('stride', [4, 8, 16, 32])
def test_a_sequence_of_one_level_is_laid_out_by_its_length(stride):
    check(Tap('encoder').as_map(sequence(stride), IMAGES, 'student'), stride)


@pytest.mark.parametrize('stride', [2, 10, 14, 16])
def test_a_sequence_is_laid_out_by_its_spelt_stride(stride):
    check(Tap(f'encoder/{stride}').as_map(sequence(stride), IMAGES, 'student'), stride)


@pytest.mark.parametrize('stride', [8, 16, 32])
def test_a_level_of_several_is_picked_by_its_stride(stride):
    check(Tap(f'encoder[0]/{stride}').as_map(sequence(8, 16, 32), IMAGES, 'student'), stride)


def test_a_sequence_stays_in_the_graph():
    tokens = sequence(8, 16).float().clone().requires_grad_()
    Tap('encoder/16').as_map(tokens, IMAGES, 'student').sum().backward()
    assert tokens.grad[:, : 13 * 18].eq(0).all()
    assert tokens.grad[:, 13 * 18 :].eq(1).all()


@pytest.mark.parametrize(
    ('layer', 'shape', 'message'),
    [
        ('x', (2, 36, 3), "whose H and W are ambiguous: write 'x/16' if"),
        ('x[1]', (2, 13 * 18 + 63, 3), "2 levels one after another: choose one of 'x[1]/8', "),
        ('x/8', (2, 63, 3), 'which is no grid of stride 8'),
        ('x', (8, 63, 3), '(8, 63, 3) for 2 images, expected one feature map per image'),
        ('x/16', (2, 3, 7, 9), "gives a feature map (N, C, H, W): write 'x'"),
        ('x', (2, 7, 9, 48), 'which is (N, H, W, C): choose'),
    ],
)
def test_what_is_no_map_of_the_images_is_one_clear_line(layer, shape, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        Tap(layer).as_map(torch.zeros(shape), IMAGES, 'student')
    assert message in str(error.value)

"""Pairs of a convolution and a batch norm are told by the way the data goes."""

import weakref

import torch
from torch import nn

from nst_det.models.layers.conv_bn_pairs import conv_bn_pairs


def test_a_pair_is_found_whatever_the_order_of_the_modules():
    norm, convolution = nn.BatchNorm2d(4).eval(), nn.Conv2d(3, 4, 1)
    network = nn.ModuleList([norm, convolution])
    with conv_bn_pairs(network) as pairs:
        norm(convolution(torch.rand(1, 3, 5, 5)))
    assert pairs == [(convolution, norm)]


def test_a_batch_norm_in_training_is_in_no_pair():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    with conv_bn_pairs(network) as pairs:
        network(torch.rand(2, 3, 5, 5))
    assert pairs == []


def test_a_convolution_that_something_else_reads_later_is_in_no_pair():
    convolution, norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4).eval()
    with conv_bn_pairs(nn.ModuleList([convolution, norm])) as pairs:
        given = convolution(torch.rand(1, 3, 5, 5))
        norm(given)
        given.mean()
    assert pairs == []


def test_the_maps_between_are_not_kept_in_memory():
    convolution, norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4).eval()
    with conv_bn_pairs(nn.ModuleList([convolution, norm])):
        given = convolution(torch.rand(1, 3, 5, 5))
        seen = weakref.ref(given)
        norm(given)
        del given
        assert seen() is None

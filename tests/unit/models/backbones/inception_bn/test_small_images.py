"""Inception-BN for small images: MXNet's layout, its sizes and its names."""

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models import SmallInceptionBN
from nst_det.models.backbones.inception_bn.small_images import LAYERS


def test_the_feature_maps_have_the_channels_and_strides_of_mxnets_layout():
    network = SmallInceptionBN(out_layers=LAYERS)
    shapes = [tuple(feature_map.shape[1:]) for feature_map in network(torch.rand(2, 3, 32, 32))]
    assert shapes == [
        *[(96, 32, 32), (64, 32, 32), (80, 32, 32), (160, 16, 16), (160, 16, 16)],
        *[(160, 16, 16), (160, 16, 16), (144, 16, 16), (240, 8, 8), (336, 8, 8), (336, 8, 8)],
    ]
    assert network.out_channels == [channels for channels, *_ in shapes]


def test_the_number_of_parameters_is_that_of_the_layout():
    convolutions = [3 * 9 * 96]
    widths, channels = [96], 96
    for conv1x1, conv3x3 in [
        *[(32, 32), (32, 48), (0, 80), (112, 48), (96, 64), (80, 80), (48, 96), (0, 96)],
        *[(176, 160), (176, 160)],
    ]:
        convolutions.append(channels * (conv1x1 + 9 * conv3x3))
        widths.append(conv1x1 + conv3x3)
        channels = conv3x3 + (conv1x1 or channels)
    expected = sum(convolutions) + 3 * sum(widths)  # a bias, and two numbers of a batch norm
    assert sum(p.numel() for p in SmallInceptionBN().parameters()) == expected == 1_649_456


@pytest.mark.parametrize('size', [28, 33])
def test_images_of_any_size_run(size):
    (feature_map,) = SmallInceptionBN(width=0.125)(torch.rand(1, 3, size, size))
    assert feature_map.shape[2:] == (-(-size // 4), -(-size // 4))


def test_layers_after_the_deepest_output_are_not_built():
    assert list(dict(SmallInceptionBN(out_layers=('3a',)).named_children())) == [
        'conv1',
        'inception_3a',
    ]


@pytest.mark.parametrize('options', [dict(width=0), dict(out_layers=('6a',)), dict(norm_cfg={})])
def test_wrong_options_are_refused(options):
    with pytest.raises(UserError, match=f'SmallInceptionBN.{next(iter(options))}'):
        SmallInceptionBN(**options)

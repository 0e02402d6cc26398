"""Taps: the spelling of a layer, and the form of its feature map."""

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.taps.tap import Tap


@pytest.mark.parametrize(
    ('layer', 'parts'),
    [
        ('backbone.layer3', (False, 'backbone.layer3', None, [], None)),
        ('neck[-1]', (False, 'neck', None, [-1], None)),
        ("head@2[0]['c4']/16", (False, 'head', 2, [0, 'c4'], 16)),
        ('input:backbone.layer3', (True, 'backbone.layer3', None, [], None)),
        ('input:bbox_head.convs.0@1[2]/8', (True, 'bbox_head.convs.0', 1, [2], 8)),
    ],
)
def test_a_spelling_is_taken_apart(layer, parts):
    tap = Tap(layer)
    assert (tap.reads_input, tap.path, tap.call, tap.picks, tap.stride) == parts
    assert tap.layer == layer


@pytest.mark.parametrize(
    'layer', ['stem@x', 'stem/0', 'input:', 'inputs:stem', '', 'a b', 'stem[x]', 7, None]
)
def test_a_misspelt_layer_is_one_clear_line(layer):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        Tap(layer)
    assert f'layer is {layer!r}, expected a module path' in str(error.value)


# Transformers' sequences.

IMAGES = 2, 3, 100, 140  # feature maps of 25 × 35, 13 × 18, 7 × 9, 4 × 5


def sequence(*strides):
    """Positions one after another; each holds its stride, row and column."""
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
def test_a_sequence_of_one_level_is_reshaped_by_its_length(stride):
    check(Tap('encoder').as_map(sequence(stride), IMAGES, 'student'), stride)


@pytest.mark.parametrize('stride', [2, 10, 14, 16])
def test_a_sequence_is_reshaped_by_the_stride_in_its_spelling(stride):
    check(Tap(f'encoder/{stride}').as_map(sequence(stride), IMAGES, 'student'), stride)


@pytest.mark.parametrize('stride', [8, 16, 32])
def test_a_level_of_a_sequence_is_picked_by_its_stride(stride):
    check(Tap(f'encoder[0]/{stride}').as_map(sequence(8, 16, 32), IMAGES, 'student'), stride)


def test_gradients_flow_through_a_reshaped_sequence():
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
def test_a_tensor_that_is_no_feature_map_of_the_images_is_one_clear_line(layer, shape, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        Tap(layer).as_map(torch.zeros(shape), IMAGES, 'student')
    assert message in str(error.value)

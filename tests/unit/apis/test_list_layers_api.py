"""Listing the layers of a detector."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from nst_det.apis.build import build_detector
from nst_det.apis.list_layers import list_layers, stride_of
from nst_det.errors import UserError
from nst_det.models.distillers.taps.dummy_batch import dummy_batch, padded_shape
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap

IMAGE_SHAPE = (64, 96)


def detector(**changes):
    cfg = dict(
        type='RetinaNet',
        data_preprocessor=dict(type='DetDataPreprocessor'),
        backbone=dict(type='ResNet', depth=18, base_channels=8, frozen_stages=1),
        neck=dict(
            type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, start_level=1, num_outs=4
        ),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=2,
            in_channels=8,
            feat_channels=8,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[8, 16, 32, 64]
            ),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        ),
        test_cfg=dict(nms_pre=10, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10),
    )
    return MODELS.build({**cfg, **changes}).eval()


@pytest.fixture(scope='module')
def forward():
    return list_layers(detector(), IMAGE_SHAPE)


def test_the_useful_layers_are_stages_blocks_and_neck_each_once(forward):
    stages = [f'backbone.layer{i}{block}' for i in (1, 2, 3, 4) for block in ('.0', '')]
    assert [layer.name for layer in forward.useful] == stages + [f'neck[{i}]' for i in range(4)]
    assert forward.failure is None


def test_a_feature_map_that_the_neck_returns_unchanged_is_listed_for_the_neck_too():
    model = detector()
    model.neck.forward = lambda maps: maps[-2:]
    forward = list_layers(model, IMAGE_SHAPE, body_only=True)
    assert [layer.name for layer in forward.useful_in('neck')] == ['neck[0]', 'neck[1]']
    assert len(forward.useful_in('backbone')) == 8


def test_a_layer_has_the_channels_size_and_stride_of_its_feature_map(forward):
    layer = next(layer for layer in forward.layers if layer.name == 'neck[1]')
    assert (layer.channels, layer.size, layer.stride) == (8, (4, 6), 16)


def test_every_listed_layer_can_be_tapped_as_it_is_spelt(forward):
    model = detector()
    taps = [Tap(layer.name) for layer in forward.layers]
    batch = dummy_batch(model, IMAGE_SHAPE)
    with record(model, taps, 'student') as tensors:
        model(**batch, mode='tensor')
    for layer, tap, tensor in zip(forward.layers, taps, tensors):
        feature_map = tap.as_map(tensor, batch['inputs'].shape, 'student')
        assert tuple(feature_map.shape[1:]) == (layer.channels, *layer.size), layer


def test_calls_of_a_shared_module_are_listed_one_by_one(forward):
    names = [layer.name for layer in forward.layers]
    assert [name for name in names if name.startswith('bbox_head.retina_cls')] == [
        f'bbox_head.retina_cls@{i}' for i in range(4)
    ]


def test_a_feature_map_that_is_overwritten_in_place_is_not_listed(forward):
    names = [layer.name for layer in forward.layers]
    assert 'backbone.layer2.0.relu@0' in names
    assert 'backbone.layer2.0.bn1' not in names


def test_frozen_layers_are_marked(forward):
    frozen = [layer.name for layer in forward.useful if layer.frozen]
    assert frozen == ['backbone.layer1.0', 'backbone.layer1']


def test_costs_grow_from_the_first_layer_to_the_last(forward):
    flops = [layer.flops for layer in forward.layers]
    assert flops == sorted(flops)
    steps = {
        after.name: after.flops - before.flops
        for before, after in zip(forward.layers, forward.layers[1:])
    }
    assert steps['neck.fpn_convs.1.conv'] == 2 * (3 * 3 * 8 * 8) * (4 * 6)
    assert flops[-1] <= forward.flops


def test_with_body_only_the_heads_do_not_run():
    forward = list_layers(detector(), IMAGE_SHAPE, body_only=True)
    assert forward.layers[-1].name == 'neck[3]'
    assert forward.failure is None


def test_a_head_that_fails_leaves_the_layers_before_it():
    model = detector()
    model.bbox_head.forward = lambda *args: 1 / 0
    forward = list_layers(model, IMAGE_SHAPE)
    assert forward.failure == 'ZeroDivisionError: division by zero'
    assert forward.layers[-1].name == 'neck[3]'


def test_the_detector_is_left_as_it_was():
    model = detector()
    before = [(name, p.requires_grad) for name, p in model.named_parameters()]
    list_layers(model, IMAGE_SHAPE)
    assert [(name, p.requires_grad) for name, p in model.named_parameters()] == before
    assert not any('forward' in vars(module) for module in model.modules())


def test_levels_of_a_transformers_sequence_are_listed():
    model = detector()
    model.bbox_head.flatten = Flatten()
    model.bbox_head.forward = lambda levels: model.bbox_head.flatten(levels)
    forward = list_layers(model, IMAGE_SHAPE)
    names = [layer.name for layer in forward.layers if 'flatten' in layer.name]
    assert names == [f'bbox_head.flatten/{stride}' for stride in (8, 16, 32, 64)]


class Flatten(nn.Module):
    def forward(self, levels):
        return torch.cat([level.flatten(2).mT for level in levels], dim=1)


def test_a_detector_that_fails_at_once_is_one_clear_line():
    model = detector()
    model.backbone.forward = lambda x: 1 / 0
    with pytest.raises(UserError, match='^RetinaNet gave no feature map .* 64 × 96: Zero'):
        list_layers(model, IMAGE_SHAPE)


@pytest.mark.parametrize(
    ('size', 'stride'),
    [((38, 63), 16), ((37, 62), 16), ((600, 1000), 1), ((30, 50), 20), ((1, 1), None)],
)
def test_strides(size, stride):
    assert stride_of((600, 1000), size) == stride


def test_the_padded_shape_suits_both_detectors():
    first = detector(data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32))
    second = detector(data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=24))
    assert padded_shape((100, 96), first, second) == (192, 96)
    assert padded_shape((100, 96), detector()) == (100, 96)


def test_a_detector_that_cannot_be_built_is_one_clear_line(tmp_path):
    config = tmp_path / 'broken.py'
    config.write_text("model = dict(type='RetinaNet')")
    with pytest.raises(UserError, match=r'^the detector of \S+ cannot be built: [^\n]*missing'):
        build_detector(str(config))


def test_a_detector_without_a_preprocessor_is_one_clear_line():
    with pytest.raises(UserError, match='^the data_preprocessor of RetinaNet makes no batch'):
        list_layers(detector(data_preprocessor=None), IMAGE_SHAPE)

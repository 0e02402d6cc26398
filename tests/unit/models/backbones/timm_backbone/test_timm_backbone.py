"""Networks of timm are backbones like those of mmdet."""

import sys

import pytest
import timm
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import nn

from nst_det.apis.list_layers import list_layers
from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.taps.tap import Tap

# Convolutional, with attention, with windows.
NAMES = [
    'resnet18',
    'tf_efficientnet_lite0',
    'mobilenetv3_small_050',
    'convnext_atto',
    'vit_tiny_patch16_224',
    'swin_tiny_patch4_window7_224',
]


def build(model_name, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='TIMMBackbone', model_name=model_name, **options)).eval()


@pytest.mark.parametrize('name', NAMES)
def test_the_feature_maps_have_the_channels_and_strides_that_the_backbone_tells(name):
    backbone = build(name)

    feature_maps = backbone(torch.randn(2, 3, 96, 160))

    assert [m.shape for m in feature_maps] == [
        (2, channels, 96 // stride, 160 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]


@pytest.mark.parametrize('name', NAMES)
def test_the_feature_maps_are_those_of_timm(name):
    backbone = build(name, out_indices=(1, 2))
    network = timm.create_model(name).eval()
    network.load_state_dict(backbone.network.state_dict(), strict=False)
    images = torch.randn(1, 3, 224, 224)  # the size of these transformers

    expected = network.forward_intermediates(images, indices=[1, 2], intermediates_only=True)

    for feature_map, of_timm in zip(backbone(images), expected, strict=True):
        torch.testing.assert_close(feature_map, of_timm)


def test_a_vision_transformer_takes_an_image_that_is_no_multiple_of_its_patches():
    backbone = build('vit_small_patch14_dinov2', depth=2, out_indices=(0, 1))

    assert [tuple(m.shape) for m in backbone(torch.randn(1, 3, 64, 90))] == [(1, 384, 5, 7)] * 2


@pytest.mark.parametrize('name', ['vit_small_r26_s32_224', 'vit_tiny_r_s16_p8_224'])
def test_an_image_that_a_network_cannot_take_is_answered_with_the_divisor(name):
    backbone = build(name, depth=1, out_indices=(0,))

    with pytest.raises(UserError, match=r'112 × 225 pixels .* pad_size_divisor=32'):
        backbone(torch.zeros(1, 3, 112, 225))


def test_what_no_feature_map_needs_is_not_built():
    backbone = build('tf_efficientnet_lite0', out_indices=(2,)).train()

    sum(m.sum() for m in backbone(torch.randn(2, 3, 64, 64))).backward()

    assert [k for k, p in backbone.named_parameters() if p.grad is None] == []


TEST_CFG = ConfigDict(
    rpn=dict(nms_pre=20, max_per_img=5, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5),
)


def detector(backbone, **parts):
    return MODELS.build(
        dict(
            type='FasterRCNN',
            data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
            backbone=dict(type='TIMMBackbone', **backbone),
            train_cfg=None,
            test_cfg=TEST_CFG,
            **parts,
        )
    )


def rpn(channels, strides):
    return dict(
        type='RPNHead',
        in_channels=channels,
        feat_channels=8,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[4], ratios=[1.0], strides=list(strides)
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    )


def roi_head(channels, strides, size, **head):
    return dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=2),
            out_channels=channels,
            featmap_strides=list(strides),
        ),
        bbox_head=dict(num_classes=3, bbox_coder=dict(type='DeltaXYWHBBoxCoder'), **head),
    )


def with_fpn(name):
    backbone = build(name)
    channels, strides = backbone.channels[-3:], backbone.strides[-3:]
    return detector(
        dict(model_name=name, out_indices=(-3, -2, -1)),
        neck=dict(type='FPN', in_channels=list(channels), out_channels=8, num_outs=3),
        rpn_head=rpn(8, strides),
        roi_head=roi_head(
            8,
            strides,
            3,
            type='Shared2FCBBoxHead',
            in_channels=8,
            roi_feat_size=3,
            fc_out_channels=16,
        ),
    ).eval()


def c4():
    return detector(
        dict(model_name='resnet18', out_indices=(3,)),
        rpn_head=rpn(256, [16]),
        roi_head=dict(
            roi_head(
                256, [16], 4, type='BBoxHead', in_channels=512, roi_feat_size=2, with_avg_pool=True
            ),
            shared_head=dict(type='ResLayer', depth=18, stage=3, stride=2),
        ),
    ).eval()


@pytest.mark.parametrize('make', [lambda: with_fpn('resnet18'), c4], ids=['FPN', 'C4'])
def test_a_detector_on_it_predicts(make):
    model = make()
    data = model.data_preprocessor(
        dict(inputs=[torch.zeros(3, 64, 96, dtype=torch.uint8)], data_samples=[sample()]), False
    )

    (prediction,) = model(**data, mode='predict')

    assert prediction.pred_instances.bboxes.shape == (5, 4)


def sample():
    return DetDataSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1, 1)))


@pytest.mark.parametrize('name', ['resnet18', 'swin_tiny_patch4_window7_224'])
def test_every_layer_that_is_listed_can_be_tapped(name):
    model = with_fpn(name)
    layers = [one for one in list_layers(model, (64, 96)).layers if 'network' in one.name]
    images = torch.randn(1, 3, 64, 96)
    taps = [Tap(one.name) for one in layers]

    with record(model, taps, 'student') as tensors:
        model.extract_feat(images)

    assert len(layers) > 10
    for tap, layer, tensor in zip(taps, layers, tensors):
        assert tap.as_map(tensor, images.shape, 'student').shape[1:] == (
            layer.channels,
            *layer.size,
        )


@pytest.mark.parametrize(
    ('stages', 'trained'),
    [(-1, 'conv1'), (0, 'layer1'), (1, 'layer2'), (3, 'layer4'), (4, None)],
)
def test_frozen_stages_stay_as_they_are(stages, trained):
    backbone = build('resnet18', frozen_stages=stages).train()

    first = next((k for k, p in backbone.network.named_parameters() if p.requires_grad), None)
    in_training = [
        name
        for name, module in backbone.network.named_modules()
        if isinstance(module, nn.BatchNorm2d) and module.training
    ]

    assert (first and first.split('.')[0]) == trained
    assert (not in_training) == (trained is None)
    assert trained != 'layer2' or in_training[0].startswith('layer2')


def test_norm_eval_keeps_the_running_statistics():
    backbone = build('resnet18', norm_eval=True).train()
    before = {k: v.clone() for k, v in backbone.state_dict().items() if 'running' in k}

    backbone(torch.randn(2, 3, 64, 64))

    after = backbone.state_dict()
    assert before
    assert [key for key in before if not torch.equal(before[key], after[key])] == []


@pytest.mark.parametrize(
    ('options', 'option', 'told'),
    [
        (dict(model_name='resnet_18'), 'model_name', "'resnet18'"),
        (dict(model_name='resnet18', out_indices=(1, 7)), 'out_indices', '5 feature maps'),
        (dict(model_name='resnet18', out_indices=3), 'out_indices', 'a list of numbers'),
        (dict(model_name='resnet18', out_indices=(3, 1)), 'out_indices', 'rising'),
        (dict(model_name='resnet18', frozen_stages=5), 'frozen_stages', '-1 to 4'),
        (dict(model_name='resnet18', pretrained='lite9'), 'pretrained', 'efficientnet-lite0'),
        (dict(model_name='resnet18', pretrained=True, checkpoint='x'), 'pretrained', 'one of them'),
        (dict(model_name='resnet18', norm_eval=1), 'norm_eval', 'True or False'),
        (dict(model_name='resnet18', init_cfg=dict(type='Normal')), 'init_cfg', 'Pretrained'),
        (dict(model_name='resnet18', color='blue'), '', "'color'"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_right(options, option, told):
    with pytest.raises(UserError) as error:
        build(**options)

    assert error.value.option == f'TIMMBackbone.{option}'.rstrip('.')
    assert told in str(error.value)


def test_without_timm_one_line_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)

    with pytest.raises(UserError, match=r"pip install 'nst_det\[timm\]'"):
        build('resnet18')

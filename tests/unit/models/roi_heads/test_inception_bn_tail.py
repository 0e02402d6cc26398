"""The tail against the second half of the complete network, and both of them in a detector."""

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import nst_det  # noqa: F401  registers the parts
from nst_det.errors import UserError
from nst_det.models.backbones import InceptionBN
from nst_det.models.roi_heads.shared_heads import InceptionBNTail

WIDTH = 0.125
IMAGE = (104, 152)  # 13 x 19 cells at stride 8: odd, so the caffe blocks' pools are padded


def shake_norms(module):
    """Give the batch norms statistics that matter."""
    random = np.random.RandomState(0)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            mean = random.uniform(-0.2, 0.2, norm.num_features)
            norm.running_mean.copy_(torch.from_numpy(mean))
            norm.running_var.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(0, 0.2)


@pytest.fixture(params=['caffe', 'mxnet'])
def variant(request):
    return request.param


@pytest.fixture
def complete_network(variant):
    backbone = InceptionBN(variant, WIDTH, out_layers=('4b', '5b')).eval()
    shake_norms(backbone)
    return backbone


def checkpoint_of(module, tmp_path):
    path = tmp_path / 'inception_bn.pth'
    torch.save(module.state_dict(), path)
    return dict(type='Pretrained', checkpoint=str(path))


def test_tail_is_the_complete_network_after_4b(complete_network, variant, tmp_path):
    tail = InceptionBNTail(
        variant, WIDTH, init_cfg=checkpoint_of(complete_network, tmp_path)
    ).eval()
    tail.init_weights()
    with torch.no_grad():
        middle, deepest = complete_network(torch.randn(2, 3, 224, 224))
        assert torch.equal(tail(middle), deepest)


def test_backbone_and_tail_load_disjoint_parts_of_one_checkpoint(
    complete_network, variant, tmp_path
):
    init_cfg = checkpoint_of(complete_network, tmp_path)
    backbone = InceptionBN(variant, WIDTH, init_cfg=init_cfg)
    tail = InceptionBNTail(variant, WIDTH, init_cfg=init_cfg)
    loaded = {}
    for half in (backbone, tail):
        half.init_weights()
        assert not loaded.keys() & half.state_dict().keys()
        loaded.update(half.state_dict())
    assert loaded.keys() == complete_network.state_dict().keys()
    assert all(
        torch.equal(value, loaded[key]) for key, value in complete_network.state_dict().items()
    )


def test_a_checkpoint_of_the_backbone_alone_is_refused_by_the_tail(variant, tmp_path):
    init_cfg = checkpoint_of(InceptionBN(variant, WIDTH), tmp_path)
    tail = InceptionBNTail(variant, WIDTH, init_cfg=init_cfg)
    with pytest.raises(UserError, match=r'fits 0 of the \d+ weights of InceptionBNTail'):
        tail.init_weights()


def test_weights_of_the_other_variant_are_refused_though_the_shapes_agree(
    complete_network, variant, tmp_path
):
    other = {'caffe': 'mxnet', 'mxnet': 'caffe'}[variant]
    tail = InceptionBNTail(other, WIDTH, init_cfg=checkpoint_of(complete_network, tmp_path))
    with pytest.raises(UserError, match=f"set variant='{variant}'"):
        tail.init_weights()


def test_channels_follow_the_width():
    tail = InceptionBNTail()
    assert (tail.in_channels, tail.out_channels) == (576, 1024)
    taps = InceptionBN.taps(0.3)
    slim = InceptionBNTail(width=0.3)
    assert (slim.in_channels, slim.out_channels) == (taps['4b'].channels, taps['5b'].channels)


@pytest.mark.parametrize('size', [1, 2, 7, 14, 15])
def test_roi_features_of_any_size_and_number_are_halved(variant, size):
    tail = InceptionBNTail(variant, WIDTH)
    for rois, mode in ((0, True), (0, False), (3, False)):
        with torch.no_grad():
            out = tail.train(mode)(torch.rand(rois, tail.in_channels, size, size))
        assert out.shape == (rois, tail.out_channels, (size + 1) // 2, (size + 1) // 2)
        assert out.isfinite().all()


@pytest.mark.parametrize(
    ('stages', 'free'),
    [
        (3, ['inception_4c', 'inception_4d', 'inception_4e', 'inception_5a', 'inception_5b']),
        (4, ['inception_5a', 'inception_5b']),
        (5, []),
    ],
)
def test_frozen_stages_count_as_in_the_backbone(stages, free):
    tail = InceptionBNTail(width=WIDTH, frozen_stages=stages).train()
    for name, block in tail.named_children():
        norm = block.branch_3x3.conv3x3.bn
        assert norm.training == norm.weight.requires_grad == (name in free), name


def test_a_wrong_argument_is_a_user_error():
    with pytest.raises(UserError) as caught:
        InceptionBNTail(variant='mxnt')
    assert caught.value.option == 'InceptionBNTail.variant'


def slim_detector(variant):
    """Faster R-CNN in the C4 style, on a backbone of an eighth of the width."""
    taps = InceptionBN.taps(WIDTH)
    middle, deepest = taps['4b'], taps['5b']
    rcnn_assigner = dict(
        type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, ignore_iof_thr=-1
    )
    coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1] * 4)
    half = dict(variant=variant, width=WIDTH)
    return MODELS.build(
        ConfigDict(
            type='FasterRCNN',
            backbone=dict(type='InceptionBN', **half),
            rpn_head=dict(
                type='RPNHead',
                in_channels=middle.channels,
                feat_channels=16,
                anchor_generator=dict(
                    type='AnchorGenerator', scales=[2, 4], ratios=[1.0], strides=[middle.stride]
                ),
                bbox_coder=coder,
            ),
            roi_head=dict(
                type='StandardRoIHead',
                shared_head=dict(type='InceptionBNTail', **half),
                bbox_roi_extractor=dict(
                    type='SingleRoIExtractor',
                    roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
                    out_channels=middle.channels,
                    featmap_strides=[middle.stride],
                ),
                bbox_head=dict(
                    type='BBoxHead',
                    with_avg_pool=True,
                    roi_feat_size=7,
                    in_channels=deepest.channels,
                    num_classes=3,
                    bbox_coder=coder,
                ),
            ),
            train_cfg=dict(
                rpn=dict(
                    assigner=dict(
                        type='MaxIoUAssigner',
                        pos_iou_thr=0.7,
                        neg_iou_thr=0.3,
                        min_pos_iou=0.3,
                        ignore_iof_thr=-1,
                    ),
                    sampler=dict(
                        type='RandomSampler', num=32, pos_fraction=0.5, add_gt_as_proposals=False
                    ),
                    allowed_border=-1,
                    pos_weight=-1,
                ),
                rpn_proposal=dict(
                    nms_pre=50,
                    max_per_img=20,
                    nms=dict(type='nms', iou_threshold=0.7),
                    min_bbox_size=0,
                ),
                rcnn=dict(
                    assigner=rcnn_assigner,
                    sampler=dict(
                        type='RandomSampler', num=16, pos_fraction=0.5, add_gt_as_proposals=True
                    ),
                    pos_weight=-1,
                ),
            ),
            test_cfg=dict(
                rpn=dict(
                    nms_pre=50,
                    max_per_img=20,
                    nms=dict(type='nms', iou_threshold=0.7),
                    min_bbox_size=0,
                ),
                rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10),
            ),
        )
    )


def sample_with_one_box():
    sample = DetDataSample(
        metainfo=dict(
            img_shape=IMAGE, ori_shape=IMAGE, pad_shape=IMAGE, batch_input_shape=IMAGE,
            scale_factor=(1.0, 1.0),
        )
    )  # fmt: skip
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[16.0, 16.0, 80.0, 80.0]]), labels=torch.tensor([1])
    )
    return sample


def test_a_c4_detector_trains_both_halves_and_predicts(variant):
    detector = slim_detector(variant)
    detector.init_weights()
    images = torch.randn(2, 3, *IMAGE)
    samples = [sample_with_one_box() for _ in images]

    losses = detector.train().loss(images, samples)
    total = sum(sum(value) if isinstance(value, list) else value
                for name, value in losses.items() if 'loss' in name)  # fmt: skip
    assert set(losses) >= {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'}
    total.backward()
    for half in (detector.backbone.inception_4b, detector.roi_head.shared_head.inception_5b):
        for key, parameter in half.named_parameters():
            assert parameter.grad.isfinite().all(), key
        assert half.branch_1x1.conv.weight.grad.any()

    with torch.no_grad():
        predicted = detector.eval().predict(images, samples)
    assert [len(sample.pred_instances) for sample in predicted] == [10, 10]
    assert all(sample.pred_instances.scores.isfinite().all() for sample in predicted)

"""KD of complete detectors, compared with Python loops over regions, stages and positions."""

import copy
import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from nst_det.errors import UserError

CLASSES, TEMPERATURE, WEIGHT = 3, 3.0, 2.0
COLOURS = dict(type='DetDataPreprocessor', mean=[110.0] * 3, std=[60.0] * 3, pad_size_divisor=16)
BACKBONE = dict(type='InceptionBN', width=0.1, norm_eval=True)
CHANNELS = MODELS.build(BACKBONE).taps(0.1)['4b'].channels
ANCHORS = dict(
    type='AnchorGenerator', scales=[2], ratios=[0.5, 1.0], strides=[16]
)  # two at each position
CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
ASSIGNER = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
SAMPLER = dict(type='RandomSampler', num=12, pos_fraction=0.5, add_gt_as_proposals=True)


def one_stage(**changes):
    head = dict(
        type='RetinaHead',
        num_classes=CLASSES,
        in_channels=CHANNELS,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=ANCHORS,
        bbox_coder=CODER,
    )
    head.update(changes)
    training = dict(assigner=ASSIGNER, allowed_border=-1, pos_weight=-1)
    return dict(type='SingleStageDetector', bbox_head=head, train_cfg=training, test_cfg={})


def two_stages(cascaded):
    box_head = dict(
        type='Shared2FCBBoxHead',
        in_channels=CHANNELS,
        fc_out_channels=16,
        roi_feat_size=3,
        num_classes=CLASSES,
        bbox_coder=CODER,
        loss_cls=dict(type='CrossEntropyLoss'),
        reg_class_agnostic=True,
    )
    extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=1),
        out_channels=CHANNELS,
        featmap_strides=[16],
    )
    stage = dict(assigner=dict(ASSIGNER, neg_iou_thr=0.5), sampler=SAMPLER, pos_weight=-1)
    cascade = dict(type='CascadeRoIHead', num_stages=2, stage_loss_weights=[1, 0.5])
    return dict(
        type='FasterRCNN',
        rpn_head=dict(
            type='RPNHead',
            in_channels=CHANNELS,
            feat_channels=8,
            anchor_generator=ANCHORS,
            bbox_coder=CODER,
        ),
        roi_head=dict(
            **(cascade if cascaded else dict(type='StandardRoIHead')),
            bbox_roi_extractor=extractor,
            bbox_head=[box_head, box_head] if cascaded else box_head,
        ),
        train_cfg=dict(
            rpn=dict(stage, sampler=dict(SAMPLER, add_gt_as_proposals=False), allowed_border=-1),
            rpn_proposal=dict(nms_pre=20, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7)),
            rcnn=[stage, stage] if cascaded else stage,
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=5, max_per_img=5, nms=dict(type='nms', iou_threshold=0.7)),
            rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5),
        ),
    )


def distiller(detector, other=None, **teacher):
    """A student and a teacher, of one architecture by default, whose logits differ a lot."""
    torch.manual_seed(0)
    detector, other = (
        ConfigDict(config, backbone=BACKBONE, data_preprocessor=COLOURS)
        for config in (detector, other or detector)
    )
    model = MODELS.build(
        dict(
            type='NSTDistiller',
            student=detector,
            teacher=dict(config=copy.deepcopy(other), checkpoint='random', **teacher),
            transfers=[dict(loss=dict(type='KDLoss', loss_weight=WEIGHT, temperature=TEMPERATURE))],
        )
    )
    model.init_weights()
    for network in (model.student, model.open_teacher().detector):
        for name, value in network.named_parameters():
            if 'cls' in name:
                torch.nn.init.normal_(value.detach(), std=0.05)
    return model


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def softmax(row):
    powers = [math.exp(value / TEMPERATURE) for value in row]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize('cascaded', [False, True])
def test_the_teacher_classifies_the_regions_of_the_student_stage_by_stage(cascaded, padded_batch):
    model = distiller(two_stages(cascaded))
    data = padded_batch(model)
    heads = model.student.roi_head.bbox_head
    extractors = model.student.roi_head.bbox_roi_extractor
    heads, extractors = (list(stages) if cascaded else [stages] for stages in (heads, extractors))
    rois, students = [], []
    for extractor in extractors:
        extractor.register_forward_pre_hook(lambda module, args: rois.append(args[1]))
    for head in heads:
        head.register_forward_hook(lambda module, args, output: students.append(output[0]))
    found = model(**copy.deepcopy(data), mode='loss')['loss_kd']

    teacher = model.open_teacher().detector
    heads, extractors = teacher.roi_head.bbox_head, teacher.roi_head.bbox_roi_extractor
    heads, extractors = (list(stages) if cascaded else [stages] for stages in (heads, extractors))
    stages = []
    with torch.no_grad():
        features = teacher.extract_feat(data['inputs'])
        for head, extractor, regions, scores in zip(heads, extractors, rois, students):
            teacher_logits = head(extractor(features, regions))[0]
            rows = [
                kl(softmax(t), softmax(s)) for t, s in zip(teacher_logits.tolist(), scores.tolist())
            ]
            stages.append(sum(rows) / len(rows))
    assert len(stages) == (2 if cascaded else 1)
    expected = WEIGHT * TEMPERATURE**2 * sum(stages) / len(stages)
    assert expected > 0.05
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_only_the_positions_inside_the_images_count_with_all_anchors(padded_batch):
    model = distiller(one_stage())
    teacher, scores = model.open_teacher().detector, {}
    for name, detector in [('student', model.student), ('teacher', teacher)]:
        detector.bbox_head.retina_cls.register_forward_hook(
            lambda module, args, output, name=name: scores.update({name: output.tolist()})
        )
    data = padded_batch(model)
    assert data['inputs'].shape[2:] == (64, 96)
    found = model(**data, mode='loss')['loss_kd']

    def sigmoid(value):
        return 1 / (1 + math.exp(-value))

    total = objects = 0.0
    # The centres of stride 16 that lie inside 64 × 96 and 33 × 56 pixels.
    for image, (rows, columns) in enumerate([(4, 6), (2, 3)]):
        for anchor in range(2):
            for y in range(rows):
                for x in range(columns):
                    pairs = [
                        [scores[role][image][anchor * CLASSES + k][y][x] for k in range(CLASSES)]
                        for role in ('student', 'teacher')
                    ]
                    for s, t in zip(*pairs):
                        p, q = (
                            [sigmoid(score / TEMPERATURE), sigmoid(-score / TEMPERATURE)]
                            for score in (t, s)
                        )
                        total += kl(p, q)
                    objects += max(sigmoid(t) for t in pairs[1])
    assert objects > 2
    expected = WEIGHT * TEMPERATURE**2 * total / objects
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_teacher_of_enlarged_images_classifies_the_enlarged_regions(padded_batch):
    model = distiller(two_stages(False), scale=2, fuse=False, channels_last=False)
    regions = {}
    for name, network in [('student', model.student), ('teacher', model.teacher.detector)]:
        network.roi_head.bbox_roi_extractor.register_forward_pre_hook(
            lambda module, args, name=name: regions.update({name: args})
        )
    assert model(**padded_batch(model), mode='loss')['loss_kd'] > 0
    (features,), rois = regions['student'][:2]
    (teacher_features,), teacher_rois = regions['teacher'][:2]
    assert teacher_features.shape[2:] == tuple(2 * side for side in features.shape[2:])
    assert torch.equal(teacher_rois[:, 0], rois[:, 0])
    assert torch.equal(teacher_rois[:, 1:], 2 * rois[:, 1:])


def test_a_dense_head_refuses_a_teacher_of_enlarged_images_in_one_line(padded_batch):
    model = distiller(one_stage(), scale=1.5)
    with pytest.raises(UserError, match=r'^KDLoss: [^\n]*teacher\.scale is 1\.5: leave it out\)$'):
        model(**padded_batch(model), mode='loss')


SOFTMAX = dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False))
SINGLE = dict(ANCHORS, ratios=[1.0])


@pytest.mark.parametrize(
    ('student', 'teacher', 'line'),
    [  # in all but the first both give as many logits at a position
        ({}, dict(anchor_generator=SINGLE), 'gives 6 logits per position, the'),
        (
            {},
            dict(anchor_generator=SINGLE, num_classes=2 * CLASSES),
            'gives 3 logits per anchor, the',
        ),
        (SOFTMAX, dict(num_classes=CLASSES + 1), 'by a softmax with background, the teacher by a'),
        ({}, dict(anchor_generator=dict(ANCHORS, ratios=[1.0, 2.0])), 'have other sizes than'),
    ],
)
def test_dense_heads_that_classify_something_else_are_refused_in_one_line(
    student, teacher, line, padded_batch
):
    model = distiller(one_stage(**student), one_stage(**teacher))
    with pytest.raises(UserError, match=f'^KDLoss: [^\n]* {line} [^\n]*; NSTLoss does not$'):
        model(**padded_batch(model), mode='loss')

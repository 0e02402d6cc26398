"""Transfers between the predictions of complete detectors, against mmdet's own heads and losses."""

import copy

import mmdet
import pytest
import torch
from mmdet.models.losses.gfocal_loss import quality_focal_loss_tensor_target
from mmdet.models.losses.iou_loss import giou_loss
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import Recorder
from nst_det.models.distillers.transfers.valuable_region import valuable_region
from nst_det.models.losses import LDLoss, MatchedQueryLoss, kd_divergence

CLASSES, WEIGHT = 3, 2.0
COLOURS = dict(type='DetDataPreprocessor', mean=[110.0] * 3, std=[60.0] * 3, pad_size_divisor=16)
BACKBONE = dict(type='InceptionBN', width=0.1, norm_eval=True)
CHANNELS = MODELS.build(BACKBONE).taps(0.1)['4b'].channels
CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
ATSS = dict(type='ATSSAssigner', topk=9)
MAX_IOU = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
SQUARE = dict(
    type='AnchorGenerator', ratios=[1.0], octave_base_scale=2, scales_per_octave=1, strides=[16]
)
PAIR = dict(type='AnchorGenerator', scales=[2], ratios=[0.5, 1.0], strides=[16])
TWO_LEVELS = dict(SQUARE, strides=[16, 32])
QFL = dict(type='QualityFocalLoss', use_sigmoid=True)
GIOU = dict(type='GIoULoss')
HEADS = dict(
    GFL=dict(type='GFLHead', anchor_generator=SQUARE, reg_max=6, loss_cls=QFL, loss_bbox=GIOU),
    RetinaNet=dict(
        type='RetinaHead', anchor_generator=PAIR, bbox_coder=CODER, loss_bbox=dict(type='L1Loss')
    ),
    ATSS=dict(type='ATSSHead', anchor_generator=SQUARE, bbox_coder=CODER, loss_bbox=GIOU),
    FCOS=dict(type='FCOSHead', strides=[16], regress_ranges=((-1, 1e8),), norm_on_bbox=True),
)
PREDICTORS = dict(
    GFL=('gfl_cls', 'gfl_reg'),
    RetinaNet=('retina_cls', 'retina_reg'),
    ATSS=('atss_cls', 'atss_reg'),
    FCOS=('conv_cls', 'conv_reg'),
)


def detector(head, stacked_convs=3, assigner=None, **changes):
    assigner = assigner or (ATSS if head in ('GFL', 'ATSS') else MAX_IOU)
    norm = {} if head == 'RetinaNet' else dict(norm_cfg=dict(type='BN'))
    return dict(
        type='SingleStageDetector',
        backbone=BACKBONE,
        data_preprocessor=COLOURS,
        bbox_head={
            **HEADS[head],
            **norm,
            **dict(num_classes=CLASSES, in_channels=CHANNELS, feat_channels=8),
            'stacked_convs': stacked_convs,
            **changes,
        },
        train_cfg=dict(assigner=assigner, allowed_border=-1, pos_weight=-1),
        test_cfg=dict(nms_pre=10, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
    )


def on_two_levels(head):
    neck = dict(type='ChannelMapper', in_channels=[CHANNELS], kernel_size=1, num_outs=2)
    return dict(detector(head, anchor_generator=TWO_LEVELS), neck=dict(neck, out_channels=CHANNELS))


def distiller(student, teacher, **loss):
    """A student and a teacher whose predictions differ a lot."""
    torch.manual_seed(0)
    model = MODELS.build(
        ConfigDict(
            type='NSTDistiller',
            student=student,
            teacher=dict(config=teacher, checkpoint='random', fuse=False, channels_last=False),
            transfers=[dict(loss=loss)],
            monitor_interval=1,
        )
    )
    model.init_weights()
    for network in (model.student, model.open_teacher().detector):
        for name, value in network.bbox_head.named_parameters():
            if 'scale' not in name:
                torch.nn.init.normal_(value.detach(), std=0.3 if 'bn' not in name else 1.0)
    return model


def by_position(level, channels):
    """Predictions of one level `(N, A·K, H, W)` in the order of mmdet's anchors, per image."""
    return level.permute(0, 2, 3, 1).reshape(len(level), -1, channels)


def inside(anchors):
    """The positions of stride 16 inside 64 × 96 and 33 × 56 pixels, anchor after anchor."""
    mask = torch.zeros(2, 4, 6, anchors, dtype=torch.bool)
    mask[0], mask[1, :2, :3] = True, True
    return mask.reshape(2, -1)


@pytest.mark.parametrize('stage', [1, 2, 3])
@pytest.mark.parametrize('head', HEADS)
def test_cross_kd_leads_the_students_features_through_the_rest_of_the_teachers_head(
    head, stage, padded_batch
):
    model = distiller(
        detector(head),
        detector(head),
        type='CrossKDLoss',
        loss_weight=WEIGHT,
        stage=stage,
        box_weight=3.0,
    )
    data = padded_batch(model)
    losses = model(**copy.deepcopy(data), mode='loss')
    assert 0 < losses['grad_ratio_crosskd'] < float('inf')

    teacher = model.teacher.detector
    with torch.no_grad():
        (features,), (own,) = (
            network.extract_feat(data['inputs']) for network in (model.student, teacher)
        )
        predictions = []
        for start, convs in [(features, stage), (own, 0)]:
            outputs = []
            for branch, predictor in zip(('cls_convs', 'reg_convs'), PREDICTORS[head]):
                x = start
                for conv in getattr(model.student.bbox_head, branch)[:convs]:
                    x = conv(x)
                for conv in getattr(teacher.bbox_head, branch)[convs:]:
                    x = conv(x)
                outputs.append(getattr(teacher.bbox_head, predictor)(x))
            predictions.append(outputs)
        bbox_head = teacher.bbox_head
        (priors,) = bbox_head.prior_generator.grid_priors([(4, 6)], device='cpu')
        anchors = len(priors) // 24
        rows, boxes = [], []
        for logits, edges in predictions:
            rows.append(by_position(logits, CLASSES)[inside(anchors)])
            if head == 'GFL':
                boxes.append(by_position(edges, 28)[inside(1)].reshape(-1, 7))
                continue
            if head == 'FCOS':  # distances in pixels, as norm_on_bbox asks for
                edges = edges.clamp(min=0) * 16
            decoded = [
                bbox_head.bbox_coder.decode(priors, image) for image in by_position(edges, 4)
            ]
            boxes.append(torch.stack(decoded)[inside(anchors)])
        target = rows[1].sigmoid()
        chance = target.amax(1)
        classes = quality_focal_loss_tensor_target(rows[0], target, beta=1.0, reduction='sum')
        distance = (
            kd_divergence(*boxes).view(-1, 4).mean(1)
            if head == 'GFL'
            else giou_loss(*boxes, reduction='none')
        )
        expected = classes / chance.sum().clamp(min=1)
        expected = WEIGHT * (expected + 3 * (chance * distance).sum() / chance.sum())
    assert expected > 0.1
    torch.testing.assert_close(losses['loss_crosskd'], expected, rtol=1e-4, atol=0)


def test_cross_kd_teaches_the_student_and_leaves_the_teacher_as_it_is(padded_batch):
    model = distiller(detector('GFL'), detector('GFL'), type='CrossKDLoss', stage=2)
    teacher = model.open_teacher().detector
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    methods = [dict(vars(module)) for module in teacher.modules()]
    model(**padded_batch(model), mode='loss')['loss_crosskd'].backward()
    head = model.student.bbox_head
    for branch in (head.cls_convs, head.reg_convs):
        reached = [conv.conv.weight.grad is not None for conv in branch]
        assert reached == [True, True, False]
    assert not any(parameter.grad is not None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert ['forward' in vars(m) for m in teacher.modules()] == ['forward' in m for m in methods]


def test_ld_in_code_mode_is_mmdets_ld_head(padded_batch):
    print(f'mmdet {mmdet.__version__}')
    model = distiller(
        detector('GFL'),
        detector('GFL'),
        type='LDLoss',
        loss_weight=0.25,
        temperature=10.0,
        mode='code',
        vlr_weight=0,
    )
    head = dict(detector('GFL')['bbox_head'], type='LDHead')
    head['loss_ld'] = dict(type='KnowledgeDistillationKLDivLoss', loss_weight=0.25, T=10)
    head = MODELS.build(ConfigDict(head, train_cfg=detector('GFL')['train_cfg']))
    head.load_state_dict(model.student.bbox_head.state_dict())
    data = padded_batch(model)
    found = model(**copy.deepcopy(data), mode='loss')
    teacher = model.teacher.detector
    features = model.student.extract_feat(data['inputs'])
    with torch.no_grad():
        out_teacher = teacher.bbox_head(teacher.extract_feat(data['inputs']))
    expected = sum(head.loss(features, out_teacher, data['data_samples'])['loss_ld'])
    assert expected > 1e-3
    torch.testing.assert_close(found['loss_ld'], expected, rtol=1e-6, atol=0)
    assert 0 < found['grad_ratio_ld'] < float('inf')


@pytest.mark.parametrize('ignore_padding', [True, False])
def test_the_valuable_localization_region_adds_its_positions(ignore_padding, padded_batch):
    found = {}
    for weight in (0, 0.25):
        model = distiller(
            detector('GFL'), detector('GFL'), type='LDLoss', mode='code', vlr_weight=weight
        )
        model.ignore_padding = ignore_padding
        data = padded_batch(model)
        data['data_samples'][1].gt_instances.bboxes[0, 3] = 33  # to the padding below the image
        found[weight] = model(**copy.deepcopy(data), mode='loss')['loss_ld']
    head, metas = model.student.bbox_head, [sample.metainfo for sample in data['data_samples']]
    with torch.no_grad():
        _, (student,) = head(model.student.extract_feat(data['inputs']))
        _, (teacher,) = model.teacher.detector.bbox_head(
            model.teacher.detector.extract_feat(data['inputs'])
        )
    anchors, counted = head.get_anchors([student.shape[2:]], metas, device='cpu')
    total, in_padding = 0.0, 0.0
    for n, sample in enumerate(data['data_samples']):
        u = valuable_region(anchors[n], counted[n], sample.gt_instances.bboxes, ATSS['topk'])
        in_padding += u[~inside(1)[n]].sum()
        if ignore_padding:
            u = u * inside(1)[n]
        rows = [edges[n].flatten(1).T.unflatten(1, (4, -1)) for edges in (student, teacher)]
        assert (u > 0).any()
        total += LDLoss(mode='code')(*rows, u)
    assert in_padding > 0
    torch.testing.assert_close(found[0.25] - found[0], 0.25 * total, rtol=1e-4, atol=1e-6)


def test_images_without_objects_have_no_ld_loss(padded_batch):
    model = distiller(detector('GFL'), detector('GFL'), type='LDLoss')
    data = padded_batch(model)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    losses = model(**data, mode='loss')
    assert losses['loss_ld'] == 0
    losses['loss_ld'].backward()


@pytest.mark.parametrize(
    ('loss', 'student', 'teacher', 'line'),
    [
        ('LDLoss', detector('ATSS'), detector('GFL'), "the student's ATSSHead: it needs a GFLHead"),
        ('LDLoss', detector('GFL'), detector('ATSS'), "the teacher's ATSSHead: it needs a GFLHead"),
        (
            'LDLoss',
            detector('GFL', assigner=MAX_IOU),
            detector('GFL'),
            'needs an ATSSAssigner: set',
        ),
        ('CrossKDLoss', detector('ATSS', 2), detector('ATSS'), 'choose a stage from 1 to 2'),
        ('MatchedQueryLoss', detector('ATSS'), detector('ATSS'), 'finds no queries'),
    ],
)
def test_what_a_detector_cannot_serve_is_refused_in_one_line(loss, student, teacher, line):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        distiller(student, teacher, type=loss)
    assert line in str(error.value) and loss in str(error.value)
    assert error.value.option == 'transfers[0].loss'


@pytest.mark.parametrize(
    ('loss', 'teacher', 'line'),
    [
        ('LDLoss', detector('GFL', reg_max=4), 'the student predicts 7 places for an edge, the'),
        ('CrossKDLoss', detector('GFL', feat_channels=16), "8 channels, the teacher's 16"),
        (
            'CrossKDLoss',
            detector('GFL', stacked_convs=4, feat_channels=16),
            "8 channels, the teacher's 16",
        ),
    ],
)
def test_heads_that_do_not_fit_are_refused_in_one_line(loss, teacher, line, padded_batch):
    model = distiller(detector('GFL'), teacher, type=loss)
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        model(**padded_batch(model), mode='loss')
    assert line in str(error.value)


@pytest.mark.parametrize('loss', ['KDLoss', 'LDLoss', 'CrossKDLoss'])
def test_heads_of_other_levels_are_refused_in_one_line(loss, padded_batch):
    model = distiller(detector('GFL'), on_two_levels('GFL'), type=loss)
    with pytest.raises(UserError, match=f'^{loss}: [^\n]*has 1 levels, the teacher[^\n]* 2: both'):
        model(**padded_batch(model), mode='loss')


@pytest.mark.parametrize('loss', ['LDLoss', 'CrossKDLoss'])
def test_ld_and_cross_kd_compare_detectors_of_other_classes(loss, padded_batch):
    model = distiller(detector('GFL'), detector('GFL', num_classes=7), type=loss)
    losses = model(**padded_batch(model), mode='loss')
    assert 0 < losses[f'loss_{loss.removesuffix("Loss").lower()}'] < float('inf')


def detr(num_queries=6, **changes):
    """A DETR of one encoder and one decoder layer."""
    attention = dict(embed_dims=16, num_heads=2, batch_first=True)
    feedforward = dict(embed_dims=16, feedforward_channels=16, num_fcs=2)
    return dict(
        type='DETR',
        num_queries=num_queries,
        data_preprocessor=COLOURS,
        backbone=BACKBONE,
        neck=dict(
            type='ChannelMapper',
            in_channels=[CHANNELS],
            kernel_size=1,
            out_channels=16,
            num_outs=1,
        ),
        encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feedforward)),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feedforward),
            return_intermediate=True,
        ),
        positional_encoding=dict(num_feats=8, normalize=True),
        bbox_head=dict(
            type='DETRHead',
            num_classes=CLASSES,
            embed_dims=16,
            loss_cls=dict(type='CrossEntropyLoss', bg_cls_weight=0.1, class_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=5.0),
            loss_iou=dict(type='GIoULoss', loss_weight=2.0),
            **changes,
        ),
        train_cfg=dict(
            assigner=dict(
                type='HungarianAssigner',
                match_costs=[
                    dict(type='ClassificationCost', weight=1.0),
                    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                    dict(type='IoUCost', iou_mode='giou', weight=2.0),
                ],
            )
        ),
        test_cfg=dict(max_per_img=5),
    )


@pytest.mark.parametrize('queries', [6, 4])
def test_the_queries_of_the_last_decoder_layers_are_compared(queries, padded_batch):
    model = distiller(detr(), detr(queries), type='MatchedQueryLoss', loss_weight=WEIGHT)
    data = padded_batch(model)
    outputs = {}
    # Of this very pass: untrained queries have nearly equal costs, and rounding matches others.
    with Recorder() as recorder:
        for role, network in (('student', model.student), ('teacher', model.teacher.detector)):
            recorder.on_output(
                network.bbox_head, lambda call, output, role=role: outputs.update({role: output})
            )
        losses = model(**data, mode='loss')
    for logits, _ in outputs.values():
        assert logits.shape[:2] == (2, 2)
    (student, student_boxes), (teacher, teacher_boxes) = (
        [values[-1] for values in outputs[role]] for role in ('student', 'teacher')
    )
    loss = MatchedQueryLoss(WEIGHT)
    expected = loss(student, teacher, student_boxes, teacher_boxes, sigmoid=False)
    assert expected > 1e-2
    torch.testing.assert_close(losses['loss_query'], expected, rtol=1e-4, atol=0)
    assert 0 < losses['grad_ratio_query'] < float('inf')


def test_queries_with_other_classes_are_refused_in_one_line(padded_batch):
    other = detr()
    other['bbox_head']['num_classes'] = 7
    model = distiller(detr(), other, type='MatchedQueryLoss')
    with pytest.raises(UserError, match='^MatchedQueryLoss: the student gives 4 [^\n]*teacher 8'):
        model(**padded_batch(model), mode='loss')


def test_kd_sends_a_detr_to_the_loss_for_queries():
    with pytest.raises(UserError, match='KDLoss [^\n]*DETR, which classifies queries: choose Matc'):
        distiller(detr(), detr(), type='KDLoss')


def test_the_memory_of_an_encoder_is_a_feature_map(padded_batch):
    torch.manual_seed(0)
    model = MODELS.build(
        ConfigDict(
            type='NSTDistiller',
            student=detr(),
            teacher=dict(config=detr(), checkpoint='random'),
            transfers=[dict(layer='encoder', loss=dict(type='CWDLoss'))],
        )
    )
    model.init_weights()
    assert model(**padded_batch(model), mode='loss')['loss_cwd_encoder'] > 0

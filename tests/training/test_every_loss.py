"""Every loss is trained, logged and resumed as a transfer, and leaves the checkpoint alone."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import Runner

from nst_det.errors import UserError

LAYER = 'backbone.inception_4b'
ALL = [
    dict(layer=LAYER, loss=dict(type='NSTLoss', loss_weight=5.0)),
    dict(layer=LAYER, loss=dict(type='ATLoss', loss_weight=2.0, mode='paper')),
    dict(layer=LAYER, loss=dict(type='FitNetLoss', loss_weight=10.0)),
    dict(loss=dict(type='KDLoss', loss_weight=0.5)),
    dict(layer=LAYER, loss=dict(type='CWDLoss', temperature=2.0)),
    dict(layer=LAYER, foreground=dict(margin=8), loss=dict(type='PKDLoss')),
    dict(layer=LAYER, loss=dict(type='MGDLoss')),
    dict(layer=LAYER, loss=dict(type='FGDLoss')),
    dict(layer=LAYER, loss=dict(type='CKALoss')),
    dict(layer=LAYER, loss=dict(type='SPLoss', loss_weight=10.0)),
]
CONNECTED = [
    ALL[2],
    dict(layer=LAYER, loss=dict(type='NSTLoss', connector=dict(type='ConvConnector', norm=True))),
    dict(layer=LAYER, loss=dict(type='MGDLoss')),
    dict(layer=LAYER, loss=dict(type='FGDLoss')),
]
METHODS = ['nst', 'at', 'fitnet', 'cwd', 'pkd', 'mgd', 'fgd', 'cka', 'sp']
NAMES = ['loss_kd', *(f'loss_{method}_backbone_inception_4b' for method in METHODS)]
RETINA = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3),
    backbone=dict(type='InceptionBN', width=0.125),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=4,
        in_channels=72,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=1,
            ratios=[0.5, 1.0],
            strides=[16],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
    ),
    train_cfg=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        allowed_border=-1,
        pos_weight=-1,
    ),
    test_cfg=dict(nms_pre=10, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
)


@pytest.fixture
def wider_teacher(tiny_distiller):
    """The tiny distiller, its (random) teacher with twice the student's channels."""

    def load(transfers, **changes):
        cfg = tiny_distiller(**changes)
        teacher = cfg.model.teacher.config
        teacher.backbone.width = teacher.roi_head.shared_head.width = 0.25
        channels = MODELS.build(teacher.backbone).taps(0.25)
        teacher.rpn_head.in_channels = channels['4b'].channels
        teacher.roi_head.bbox_roi_extractor.out_channels = channels['4b'].channels
        teacher.roi_head.bbox_head.in_channels = channels['5b'].channels
        cfg.model.teacher = dict(config=teacher, checkpoint='random')
        cfg.model.transfers = [dict(one) for one in transfers]
        return cfg

    return load


def train(cfg, **changes) -> Runner:
    cfg.merge_from_dict(changes)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_all_losses_train_together_and_the_checkpoint_is_the_plain_students(
    wider_teacher, tiny_config
):
    runner = train(wider_teacher(ALL))
    for name in NAMES:
        assert runner.message_hub.get_scalar(f'train/{name}').current() > 0
    for reading in ('mmd2', 'distance_at', 'mse_fitnet', 'channelkl_cwd', 'pearson_pkd'):
        assert runner.message_hub.get_scalar(f'train/{reading}_backbone_inception_4b').current() > 0
    assert runner.message_hub.get_scalar('train/kl_kd').current() > 0
    saved = torch.load(Path(runner.work_dir) / 'epoch_2.pth', weights_only=True)['state_dict']
    assert saved.keys() == MODELS.build(tiny_config('student').model).state_dict().keys()


def test_a_connector_is_trained_and_resumed(wider_teacher):
    cfg = wider_teacher(CONNECTED)
    first = Runner.from_cfg(cfg)
    begun = {key: one.clone() for key, one in first.model.trained_losses.state_dict().items()}
    first.train()
    trained = first.model.trained_losses.state_dict()
    parts = {key.split('.', 1)[1].rsplit('.', 1)[0] for key in trained}
    assert {'connector.layer', 'connector.norm', 'generator.2'} <= parts
    assert {f'relations.{role}.attention' for role in ('student', 'teacher')} <= parts
    second = Runner.from_cfg(wider_teacher(CONNECTED, resume=True))
    second.load_or_resume()
    second.model.trained_losses.follow(second.message_hub)
    for key, value in second.model.trained_losses.state_dict().items():
        assert not torch.equal(value, begun[key]), key
        torch.testing.assert_close(value, trained[key], rtol=0, atol=0)


@pytest.mark.parametrize('multiplier', [{}, dict(norm_decay_mult=0.0)])
def test_the_optimizer_has_the_connector_and_the_student_has_not(wider_teacher, multiplier):
    cfg = wider_teacher(CONNECTED)
    if multiplier:
        cfg.optim_wrapper.paramwise_cfg = multiplier
    runner = Runner.from_cfg(cfg)
    optimizer = runner.build_optim_wrapper(cfg.optim_wrapper)
    model = runner.model
    known = {id(one) for group in optimizer.param_groups for one in group['params']}
    assert all(id(one) in known for one in model.trained_losses.parameters())
    assert not [key for key in model.state_dict() if 'trained_losses' in key]
    assert not [name for name, _ in model.student.named_parameters() if 'trained_losses' in name]


@pytest.mark.parametrize('update_buffers', [False, True])
def test_a_moving_average_holds_no_connector(wider_teacher, update_buffers):
    cfg = wider_teacher(CONNECTED)
    cfg.custom_hooks.append(dict(type='EMAHook', update_buffers=update_buffers))
    runner = train(cfg)
    saved = torch.load(Path(runner.work_dir) / 'epoch_2.pth', weights_only=True)
    assert saved['ema_state_dict']
    for weights in ('state_dict', 'ema_state_dict'):
        assert not [key for key in saved[weights] if 'connector' in key or 'teacher' in key]


def test_a_connector_casts_with_the_student_and_survives_the_conversion_of_batch_norms(
    wider_teacher,
):
    model = MODELS.build(wider_teacher(CONNECTED).model)
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model.double())
    assert all(one.dtype == torch.float64 for one in converted.trained_losses.parameters())
    assert 'trained_losses' not in converted.student._modules


def test_a_student_with_a_connector_predicts_without_a_file_of_the_teacher(wider_teacher):
    cfg = wider_teacher(CONNECTED)
    cfg.model.teacher = dict(config='no/such/teacher.py', checkpoint='no/such/file.pth')
    model = MODELS.build(cfg.model).eval()
    batch = next(iter(Runner.build_dataloader(cfg.test_dataloader)))
    with torch.no_grad():
        assert len(model.test_step(batch)) == 2
    with pytest.raises(UserError, match=r'no/such/teacher\.py'):
        model.init_weights()


def test_kd_runs_the_box_head_of_the_teacher_on_the_regions_of_the_student(
    wider_teacher,
):
    cfg = wider_teacher([ALL[3]])
    cfg.model.teacher.update(fuse=False, channels_last=False)  # which its first batch is tried on
    runner = Runner.from_cfg(cfg)
    model = runner.model
    model.init_weights()
    ran, regions = [], []
    teacher = model.open_teacher().detector
    for part in ('backbone', 'rpn_head', 'roi_head.shared_head', 'roi_head.bbox_head'):
        teacher.get_submodule(part).register_forward_hook(lambda *_, part=part: ran.append(part))
    for detector in (model.student, teacher):
        detector.roi_head.bbox_roi_extractor.register_forward_pre_hook(
            lambda module, args: regions.append(args[1])
        )
    data = model.data_preprocessor(next(iter(runner.train_dataloader)), True)
    losses = model(**data, mode='loss')
    assert ran == ['backbone', 'roi_head.shared_head', 'roi_head.bbox_head']
    assert len(regions) == 2 and torch.equal(*regions)
    losses['loss_kd'].backward()
    assert model.student.roi_head.bbox_head.fc_cls.weight.grad.abs().sum() > 0


def test_one_stage_detectors_transfer_their_logits(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.student = dict(RETINA)
    cfg.model.teacher = dict(config=dict(RETINA), checkpoint='random')
    cfg.model.transfers = [dict(loss=dict(type='KDLoss', temperature=2.0))]
    runner = train(cfg)
    assert runner.message_hub.get_scalar('train/loss_kd').current() > 0
    assert runner.message_hub.get_scalar('train/grad_ratio_kd').current() > 0


def test_kd_refuses_a_teacher_with_other_classes(wider_teacher):
    cfg = wider_teacher([ALL[3]])
    cfg.model.teacher.config.roi_head.bbox_head.num_classes = 7
    with pytest.raises(UserError, match='logits per region, the teacher 8: both need'):
        train(cfg)


def test_kd_refuses_a_one_stage_teacher_for_a_two_stage_student(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.teacher = dict(config=dict(RETINA), checkpoint='random')
    cfg.model.transfers = [dict(loss=dict(type='KDLoss'))]
    with pytest.raises(UserError, match='a two-stage detector as student and a one-stage'):
        train(cfg)


def test_kd_takes_no_layer(tiny_distiller):
    cfg = tiny_distiller()
    cfg.model.transfers = [dict(layer=LAYER, loss=dict(type='KDLoss'))]
    with pytest.raises(UserError, match=r'transfers\[0\] has the option layer, but KDLoss'):
        MODELS.build(cfg.model)


def test_weight_zero_of_every_loss_is_the_plain_students_training(wider_teacher, plain_run):
    off = [dict(one, loss=dict(one['loss'], loss_weight=0.0)) for one in ALL]
    distilled = train(wider_teacher(off))
    expected = torch.load(f'{plain_run.work_dir}/epoch_2.pth', weights_only=True)['state_dict']
    for key, value in expected.items():
        assert torch.equal(distilled.model.state_dict()[key], value), key

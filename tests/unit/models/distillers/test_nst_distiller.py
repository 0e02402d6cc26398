"""The losses, the predictions, the teacher and the options of a distiller, without a Runner."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from nst_det.errors import UserError

LOSS = 'loss_nst_backbone_inception_4b'
RETINANET = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(type='ResNet', depth=18, base_channels=8, frozen_stages=-1),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, start_level=1, num_outs=3),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=7,
        in_channels=16,
        feat_channels=16,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[8, 16, 32]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    ),
    test_cfg=dict(nms_pre=20, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
)


@pytest.fixture
def build(tiny_distiller):
    """``build(**changes)`` gives a distiller with its teacher, as training begins."""

    def make(**changes):
        model = MODELS.build(tiny_distiller(**changes).model)
        model.init_weights()
        return model.train()

    return make


@pytest.fixture
def distiller(build):
    return build()


@pytest.fixture
def data(distiller, padded_batch):
    return padded_batch(distiller)


def losses_of(model, data):
    return model(**copy.deepcopy(data), mode='loss')


# Losses and predictions.


def test_the_losses_are_those_of_the_student_and_one_for_each_transfer(
    tiny_config, distiller, data
):
    losses = losses_of(distiller, data)
    plain = MODELS.build(tiny_config('student').model)
    plain.load_state_dict(distiller.state_dict())
    assert set(losses) - set(losses_of(plain, data)) == {
        LOSS,
        'mmd2_backbone_inception_4b',
        'grad_ratio_backbone_inception_4b',
    }
    assert losses[LOSS] > 0
    total, _ = distiller.parse_losses(losses)
    student_losses = {key: value for key, value in losses.items() if 'nst' not in key}
    torch.testing.assert_close(total, distiller.parse_losses(student_losses)[0] + losses[LOSS])


def test_the_predictions_are_those_of_the_student(tiny_config, distiller, data):
    plain = MODELS.build(tiny_config('student').model).eval()
    plain.load_state_dict(distiller.state_dict())
    distiller.eval()
    predicted, expected = (
        model(**copy.deepcopy(data), mode='predict') for model in (distiller, plain)
    )
    assert len(predicted) == len(expected) == 2
    for sample, expected_sample in zip(predicted, expected):
        assert len(sample.pred_instances)
        assert torch.equal(sample.pred_instances.bboxes, expected_sample.pred_instances.bboxes)
        assert torch.equal(sample.pred_instances.scores, expected_sample.pred_instances.scores)


def test_predicting_needs_no_file_of_the_teacher(tiny_distiller, padded_batch):
    cfg = tiny_distiller(**{'model.teacher.checkpoint': 'gone.pth'})
    model = MODELS.build(cfg.model).eval()
    assert len(model(**padded_batch(model), mode='predict')) == 2
    assert model.teacher is None


def test_the_gradient_reaches_the_tapped_layer_and_nothing_after_it(distiller, data):
    losses_of(distiller, data)[LOSS].backward()
    trained = {
        name.split('.')[1] for name, value in distiller.named_parameters() if value.grad is not None
    }
    assert {'inception_4b', 'conv1'} <= trained
    assert not any(value.grad is not None for value in distiller.roi_head.parameters())


def test_losses_can_be_computed_without_gradients(distiller, data):
    with torch.no_grad():
        assert losses_of(distiller, data)[LOSS] > 0


def test_the_factor_of_a_schedule_scales_the_loss_and_not_the_distance(distiller, data):
    complete = losses_of(distiller, data)
    distiller.transfers[0].factor = 0.25
    scaled = losses_of(distiller, data)
    torch.testing.assert_close(scaled[LOSS], 0.25 * complete[LOSS])
    distance = 'mmd2_backbone_inception_4b'
    torch.testing.assert_close(scaled[distance], complete[distance])


def test_transfers_at_several_layers_have_losses_of_different_names(build, padded_batch):
    loss = dict(type='NSTLoss', loss_weight=1.0, kernel=dict(type='LinearKernel'))
    transfers = [
        dict(layer='backbone.inception_3b', loss=loss),
        dict(student_layer='backbone[0]', teacher_layer='backbone.inception_4a', loss=loss),
        dict(layer='backbone.inception_3b', loss=dict(loss, loss_weight=3.0)),
    ]
    model = build(**{'model.transfers': transfers})
    losses = losses_of(model, padded_batch(model))
    names = [name for name in losses if 'nst' in name]
    assert names == [
        'loss_nst_backbone_inception_3b',
        'loss_nst_backbone_0',
        'loss_nst_backbone_inception_3b_2',
    ]
    torch.testing.assert_close(losses[names[2]], 3 * losses[names[0]])


def test_a_student_equal_to_its_teacher_has_no_loss(tiny_config, tiny_distiller, padded_batch):
    student = tiny_config('student')
    checkpoint = f'{student.work_dir}.pth'
    weights = MODELS.build(student.model).state_dict()
    torch.save(weights, checkpoint)
    cfg = tiny_distiller(**{'model.teacher': dict(config=student.model, checkpoint=checkpoint)})
    model = MODELS.build(cfg.model)
    model.load_state_dict(weights)
    model.eval()  # as the teacher is
    assert losses_of(model, padded_batch(model))[LOSS].abs() < 1e-4


def test_the_student_starts_as_it_would_without_a_teacher(tiny_config, tiny_distiller):
    states = []
    for cfg in (tiny_config('student'), tiny_distiller()):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        states.append({**model.state_dict(), 'next random number': torch.rand(1)})
    plain, distilled = states
    assert plain.keys() == distilled.keys()
    for key, value in plain.items():
        assert torch.equal(distilled[key], value), key


def test_the_student_starts_from_a_checkpoint_of_its_init_cfg(tiny_config, tiny_distiller):
    student = tiny_config('student')
    checkpoint = f'{student.work_dir}.pth'
    weights = MODELS.build(student.model).state_dict()
    torch.save(dict(state_dict=weights), checkpoint)
    start = dict(type='Pretrained', checkpoint=checkpoint)
    model = MODELS.build(tiny_distiller(**{'model.student.init_cfg': start}).model)
    model.init_weights()
    for key, value in weights.items():
        assert torch.equal(model.state_dict()[key], value), key


def test_no_hook_is_left_in_student_or_teacher_after_a_step(distiller, data):
    losses_of(distiller, data)
    for detector in (distiller.student, distiller.teacher.detector):
        for module in detector.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


# The teacher.


def test_the_teacher_is_no_module_of_the_distiller(distiller):
    teacher = set(map(id, distiller.teacher.detector.modules()))
    assert not teacher & set(map(id, distiller.modules()))
    assert not [name for name, _ in distiller.named_parameters() if 'teacher' in name]


def test_the_teacher_is_frozen_whatever_train_says(distiller, data):
    distiller.train()
    teacher = distiller.teacher.detector
    losses_of(distiller, data)  # the first batch applies the speed-ups
    before = copy.deepcopy(teacher.state_dict())
    loss, _ = distiller.parse_losses(losses_of(distiller, data))
    loss.backward()
    assert not any(module.training for module in teacher.modules())
    assert not any(value.requires_grad or value.grad is not None for value in teacher.parameters())
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, before[key]), key


class BackboneWithDropout(nn.Module):
    """One convolution of stride 16, and a dropout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 16, 16)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return (self.dropout(self.conv(images)),)


def test_a_dropout_of_the_teacher_drops_nothing_in_training(
    tiny_distiller, dense_detector, padded_batch, monkeypatch
):
    monkeypatch.setitem(MODELS.module_dict, 'BackboneWithDropout', BackboneWithDropout)
    teacher = dense_detector(backbone=dict(type='BackboneWithDropout', channels=72))
    transfer = dict(student_layer='backbone.inception_4b', teacher_layer='backbone.dropout')
    cfg = tiny_distiller()
    cfg.model.teacher = dict(config=teacher, checkpoint='random')
    cfg.model.transfers = [dict(transfer, loss=dict(type='NSTLoss'))]
    model = MODELS.build(cfg.model)
    model.init_weights()
    data = padded_batch(model)
    values = [losses_of(model.train(), data)['mmd2_backbone_inception_4b'] for _ in range(2)]
    assert model.training
    assert not model.teacher.detector.backbone.dropout.training
    assert values[0] == values[1] > 0


def test_the_teacher_moves_and_casts_with_the_student(distiller):
    def dtypes():
        return {value.dtype for value in distiller.teacher.detector.parameters()}

    assert dtypes() == {torch.float32}
    distiller.half()
    assert dtypes() == {torch.float16}
    distiller.float()
    assert dtypes() == {torch.float32}
    distiller.to('meta')
    assert {value.device.type for value in distiller.teacher.detector.parameters()} == {'meta'}


def test_a_copy_shares_the_teacher_and_not_the_student(distiller):
    clone = copy.deepcopy(distiller)
    assert clone.teacher is distiller.teacher
    assert clone.student is not distiller.student


def test_a_teacher_that_fails_after_its_taps_is_used(distiller, data):
    def fail(*_):
        raise RuntimeError('this head needs annotations')

    distiller.teacher.detector.roi_head.register_forward_pre_hook(fail)
    assert losses_of(distiller, data)[LOSS] > 0


def test_a_teacher_that_fails_before_its_taps_is_an_error(distiller, data):
    def fail(*_):
        raise RuntimeError('out of order')

    distiller.teacher.detector.backbone.inception_4a.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match='out of order'):
        losses_of(distiller, data)


def test_a_distillers_config_as_teacher_means_its_student(tiny_distiller, tiny_config):
    cfg = tiny_distiller()
    teacher = tiny_config('teacher').model
    cfg.model.teacher.config = dict(type='NSTDistiller', student=teacher, teacher={}, transfers=[])
    assert type(MODELS.build(cfg.model).open_teacher().detector).__name__ == 'FasterRCNN'


def test_an_untrained_teacher_is_used_if_the_config_asks_for_it(build):
    assert build(**{'model.teacher.checkpoint': 'random'}).teacher.detector is not None


def test_the_cache_gives_the_same_loss_and_spares_the_teacher(build, padded_batch, tmp_path):
    plain = build()
    cached = build(**{'model.teacher.cache': str(tmp_path / 'cache')})
    data = padded_batch(plain)
    losses = []
    for model in (plain, cached, cached):
        model.load_state_dict(plain.state_dict())
        ran = runs_of(model.teacher.detector)
        losses.append(losses_of(model, data))
    assert not ran
    assert [values.pop('teacher_cached', None) for values in losses] == [None, 0, 1]
    assert losses[1][LOSS] == losses[2][LOSS] > 0
    # Without a cache the padding of the batch, here a half of it, reaches into the feature maps.
    assert losses[0][LOSS].item() == pytest.approx(losses[1][LOSS].item(), rel=0.1)


def runs_of(detector):
    """A list to which every run of a module without children adds its name as it begins."""
    ran = []
    for name, module in detector.named_modules():
        if not list(module.children()):
            module.register_forward_pre_hook(lambda m, args, name=name: ran.append(name))
    return ran


# A teacher of another kind, with other colours, padding and classes than the student.


@pytest.fixture
def with_retinanet(tiny_distiller):
    """``with_retinanet(layer)``: a two-stage student that learns from a layer of a RetinaNet."""

    def make(layer, **options):
        cfg = tiny_distiller()
        cfg.model.teacher = dict(config=RETINANET, checkpoint='random', **options)
        transfer = dict(student_layer='backbone.inception_4b', teacher_layer=layer)
        cfg.model.transfers = [dict(transfer, loss=dict(type='NSTLoss'))]
        model = MODELS.build(cfg.model)
        model.init_weights()
        return model

    return make


@pytest.mark.parametrize('layer', ['neck[1]', 'backbone[0]', 'bbox_head.cls_convs.0.conv@1'])
def test_a_one_stage_teacher_teaches_a_two_stage_student(with_retinanet, padded_batch, layer):
    model = with_retinanet(layer)
    losses_of(model, padded_batch(model))[LOSS].backward()
    assert model.backbone.conv1.conv7x7.conv.weight.grad.abs().sum() > 0


def test_a_tap_must_choose_among_the_runs_of_a_module(with_retinanet, padded_batch):
    model = with_retinanet('bbox_head.cls_convs.0.conv')
    with pytest.raises(UserError, match="teacher's layer 'bbox_head.*' runs 3 times .*conv@2'$"):
        losses_of(model, padded_batch(model))


def test_the_teacher_stops_after_the_chosen_run_of_a_module(with_retinanet, padded_batch):
    # Without speed-ups, because to check them the first batch runs several times.
    model = with_retinanet('bbox_head.cls_convs.0.conv@1', fuse=False, channels_last=False)
    ran = runs_of(model.teacher.detector)
    losses_of(model, padded_batch(model))
    assert ran.count('bbox_head.cls_convs.0.conv') == 2
    assert ran[-1] == 'bbox_head.cls_convs.0.conv'


# Mistakes of the user.

NST = dict(type='NSTLoss')


@pytest.mark.parametrize(
    ('changes', 'option', 'advice'),
    [
        (dict(student=5), 'student', 'expected a dict with a type'),
        (dict(teacher=dict(config='x.py')), 'teacher.checkpoint', "checkpoint='random'"),
        (dict(teacher=dict(checkpoint='x.pth')), 'teacher.config', 'give a path'),
        (
            dict(teacher=dict(config='x.py', checkpiont='x.pth')),
            'teacher.checkpiont',
            "did you mean 'checkpoint'",
        ),
        (dict(transfers=dict(layer='x')), 'transfers', 'expected a list'),
        (
            dict(transfers=[dict(layer='backbone.inception_4q', loss=NST)]),
            'transfers[0].layer',
            "did you mean 'backbone.inception_4",
        ),
        (
            dict(transfers=[dict(layer='backbone', loss=dict(type='NTSLoss'))]),
            'transfers[0].loss.type',
            "did you mean 'NSTLoss'",
        ),
        (dict(transfers=[dict(layer='backbone')]), 'transfers[0].loss', 'give one'),
        (
            dict(transfers=[dict(layer='backbone', lose=NST)]),
            'transfers[0].lose',
            "did you mean 'loss'",
        ),
        (dict(transfers=[dict(layer='neck[', loss=NST)]), 'transfers[0].layer', "'neck['"),
        (dict(init_cfg=dict(type='Normal')), 'init_cfg', 'give it to the student'),
        (dict(monitor_interval=2.5), 'monitor_interval', 'expected a whole number'),
        (dict(monitor_interval=True), 'monitor_interval', 'expected a whole number'),
        (dict(monitor_interval=-1), 'monitor_interval', 'of at least 0'),
        (dict(ignore_padding=1), 'ignore_padding', 'expected True or False'),
        (dict(data_preprocessor=dict(mean=[1])), 'data_preprocessor', 'a dict with a type'),
    ],
)
def test_a_wrong_option_is_named_in_one_line(tiny_distiller, changes, option, advice):
    model = tiny_distiller().model
    for key, value in changes.items():
        model[key] = value
    kind = MODELS.get(model.pop('type'))
    with pytest.raises(UserError, match='^[^\n]*$') as caught:
        kind(**model)
    assert caught.value.option == option
    assert advice in str(caught.value)


def test_a_transfer_needs_a_layer_of_student_and_teacher(tiny_distiller):
    model = tiny_distiller().model
    model.transfers = [dict(teacher_layer='backbone', loss=NST)]
    with pytest.raises(UserError, match=r'^transfers\[0\] .*student_layer'):
        MODELS.build(model)


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        (dict(checkpoint='/nowhere/t.pth'), 'checkpoint /nowhere/t.pth does not exist'),
        (dict(config='/nowhere/t.py'), '/nowhere/t.py'),
        (dict(config=dict(depth=50)), 'expected the path of a config'),
        (dict(scale=0), 'teacher.scale is 0, expected a number from 0.125 to 8'),
        (dict(scale='1.5'), "teacher.scale is '1.5', expected a number from 0.125 to 8"),
    ],
)
def test_a_missing_teacher_is_named_in_one_line(tiny_distiller, teacher, message):
    cfg = tiny_distiller()
    cfg.model.teacher.update(teacher)
    if teacher.get('config'):
        cfg.model.teacher.config = teacher['config']
    with pytest.raises(UserError, match='^[^\n]*$') as caught:
        MODELS.build(cfg.model).init_weights()
    assert message in str(caught.value)


def test_a_teachers_checkpoint_of_another_architecture_says_how_many_keys_fit(
    tiny_config, tiny_distiller, tmp_path
):
    weights = MODELS.build(tiny_config('teacher').model).state_dict()
    count = len(weights)
    weights.pop('backbone.conv1.conv7x7.conv.weight')
    weights['backbone.conv1.conv7x7.conv.bias'] = torch.zeros(3)
    weights['neck.weight'] = torch.zeros(1)
    torch.save(weights, tmp_path / 'other.pth')
    cfg = tiny_distiller(**{'model.teacher.checkpoint': str(tmp_path / 'other.pth')})
    with pytest.raises(UserError, match='^[^\n]*$') as caught:
        MODELS.build(cfg.model).init_weights()
    assert f'{count - 2} of its {count} keys fit' in str(caught.value)
    assert '1 unexpected, such as neck.weight' in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'fault'),
    [
        (b'', 'is empty, 0 bytes'),
        (b'hello', 'cannot be read as a checkpoint'),
        (b'PK\x03\x04 truncated', 'cannot be read as a checkpoint'),
    ],
)
def test_a_teachers_file_that_is_no_checkpoint_is_named_in_one_line(
    tiny_distiller, tmp_path, content, fault
):
    file = tmp_path / 'notes.pth'
    file.write_bytes(content)
    cfg = tiny_distiller(**{'model.teacher.checkpoint': str(file)})
    with pytest.raises(UserError, match=rf'^.*notes\.pth {fault}[^\n]*$'):
        MODELS.build(cfg.model).init_weights()


def test_an_unknown_layer_of_the_teacher_lists_the_nearest(tiny_distiller):
    cfg = tiny_distiller()
    transfer = cfg.model.transfers[0]
    transfer.student_layer = transfer.pop('layer')
    transfer.teacher_layer = 'inception_4b'
    with pytest.raises(UserError, match="'inception_4b': did you mean") as caught:
        MODELS.build(cfg.model).init_weights()
    assert caught.value.option == 'transfers[0].teacher_layer'


def test_a_transfer_at_a_frozen_layer_is_an_error(build, padded_batch):
    model = build(**{'model.student.backbone.frozen_stages': 5})
    with pytest.raises(UserError, match='loss_nst_backbone_inception_4b has no effect'):
        losses_of(model, padded_batch(model))


def test_a_nan_loss_names_the_feature_maps_and_the_images(distiller, data):
    for sample in data['data_samples']:
        sample.set_metainfo(dict(img_path='photo.jpg'))
    block = distiller.student.backbone.inception_4b
    block.register_forward_pre_hook(lambda module, args: (args[0] * float('nan'),))
    with pytest.raises(UserError, match='^[^\n]*$') as caught:
        losses_of(distiller, data)
    assert f'{LOSS}=nan' in str(caught.value)
    assert "not finite already: the student's backbone.inception_4b; images: photo.jpg" in str(
        caught.value
    )

"""A teacher may be a backbone alone, with its own normalisation and padding."""

import copy

import pytest
import torch
from mmdet.registry import MODELS

from nst_det.errors import UserError
from nst_det.models.distillers.taps.recorder import pick_by_stride
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.bare_backbone import BareBackbone

LITE = dict(
    type='TIMMBackbone',
    model_name='tf_efficientnet_lite0',
    out_indices=(2, 3, 4),
    pretrained='efficientnet-lite0',
)
VIT = dict(
    type='TIMMBackbone', model_name='vit_small_patch14_dinov2', depth=3, out_indices=(0, 1, 2)
)
STUDENT_LAYER = 'backbone.inception_4b'


def transfer(teacher_layer, loss='NSTLoss', **options):
    return dict(
        student_layer=STUDENT_LAYER,
        teacher_layer=teacher_layer,
        loss=dict(type=loss, loss_weight=1.0, **options),
    )


@pytest.fixture
def distiller(tiny_config):
    def build(teacher, *transfers):
        torch.manual_seed(0)
        model = MODELS.build(
            dict(
                type='NSTDistiller',
                student=tiny_config('student').model,
                teacher=teacher,
                transfers=list(transfers),
            )
        )
        model.init_weights()
        return model

    return build


@pytest.mark.parametrize(
    ('teacher', 'layer'),
    [
        (dict(backbone=LITE), 'backbone/16'),
        (dict(backbone=LITE), 'backbone.network.blocks.4'),
        (dict(backbone=VIT, checkpoint='random'), 'backbone/14'),
        (dict(backbone=VIT, checkpoint='random'), 'backbone[0]'),
    ],
    ids=['by stride', 'by module', 'the last block of a stride', 'a block'],
)
def test_a_student_learns_from_a_backbone(distiller, padded_batch, teacher, layer):
    model = distiller(teacher, transfer(layer), transfer(layer, 'FitNetLoss'))
    losses = model(**padded_batch(model), mode='loss')

    sum(value for key, value in losses.items() if key.startswith('loss_nst_')).backward()

    assert losses['loss_nst_backbone_inception_4b'] > 0
    assert model.get_submodule(STUDENT_LAYER).branch_1x1[0].weight.grad.norm() > 0


def test_the_teacher_sees_its_own_normalisation_and_padding(distiller, padded_batch):
    model = distiller(dict(backbone=VIT, checkpoint='random'), transfer('backbone/14'))
    torch.manual_seed(1)
    images = padded_batch(model)
    seen = []
    network = model.open_teacher().detector.backbone
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.manual_seed(1)
    raw = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8).float()

    model(**images, mode='loss')

    assert seen[0].shape == (2, 3, 70, 98)  # the student's 64 × 96, in patches of 14
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )
    # The student takes BGR as it is read, the teacher RGB.
    torch.testing.assert_close(
        seen[0][0, :, :64, :96], (raw.flip(0) - mean) / std, rtol=1e-4, atol=1e-4
    )
    assert not seen[0][:, :, 64:].any()


def test_the_teacher_is_kept_frozen_and_out_of_the_checkpoint(distiller):
    model = distiller(dict(backbone=LITE), transfer('backbone/16'))

    assert not [key for key in model.state_dict() if 'network' in key]
    assert not any(p.requires_grad for p in model.open_teacher().detector.parameters())


def test_the_output_is_that_of_the_backbone(distiller, padded_batch):
    model = distiller(dict(backbone=LITE), transfer('backbone/16'))
    backbone = MODELS.build(LITE)
    backbone.init_weights()
    batch = padded_batch(model)
    teacher = model.open_teacher()
    tap = teacher.taps['backbone[1]']

    output = teacher(batch['inputs'], batch['data_samples'], model.data_preprocessor, [tap])

    images, _ = teacher._preprocess(model.data_preprocessor, batch['inputs'].device)(
        batch['inputs'], batch['data_samples']
    )
    torch.testing.assert_close(
        output.feature_maps[tap], backbone.eval()(images)[1], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_a_checkpoint_of_the_backbone_is_loaded(distiller, tmp_path, prefix):
    torch.manual_seed(5)
    weights = MODELS.build(VIT).state_dict()
    torch.save({f'{prefix}{key}': value for key, value in weights.items()}, tmp_path / 'vit.pth')

    model = distiller(
        dict(backbone=VIT, checkpoint=str(tmp_path / 'vit.pth')), transfer('backbone/14')
    )

    loaded = model.open_teacher().detector.backbone.state_dict()
    assert [key for key in weights if not torch.equal(loaded[key], weights[key])] == []


def test_a_backbone_of_mmdet_needs_its_preprocessor(distiller):
    resnet = dict(type='ResNet', depth=18)
    with pytest.raises(UserError) as error:
        distiller(dict(backbone=resnet, checkpoint='random'), transfer('backbone.layer3'))
    assert error.value.option == 'teacher.data_preprocessor'

    given = dict(type='DetDataPreprocessor', mean=[1, 2, 3], std=[1, 1, 1], pad_size_divisor=32)
    model = distiller(
        dict(backbone=resnet, checkpoint='random', data_preprocessor=given),
        transfer('backbone.layer3'),
    )
    assert isinstance(model.open_teacher().detector, BareBackbone)


@pytest.mark.parametrize(
    ('teacher', 'option', 'told'),
    [
        (dict(), 'teacher.config', 'backbone=dict'),
        (dict(backbone=LITE, config='x.py'), 'teacher.backbone', 'both config and backbone'),
        (dict(backbone=VIT), 'teacher.checkpoint', "checkpoint='random'"),
        (dict(backbone=LITE, checkpoint='a.pth'), 'teacher.checkpoint', 'leave one'),
        (dict(backbone='resnet18', checkpoint='a.pth'), 'teacher.backbone', 'type'),
        (
            dict(config='x.py', checkpoint='a.pth', data_preprocessor=dict(type='x')),
            'teacher.data_preprocessor',
            'is for teacher.backbone',
        ),
    ],
)
def test_a_wrong_teacher_is_refused_before_anything_is_built(distiller, teacher, option, told):
    with pytest.raises(UserError) as error:
        distiller(teacher, transfer('backbone/16'))

    assert error.value.option == option
    assert told in str(error.value)


def test_the_logits_of_a_backbone_are_refused(distiller):
    with pytest.raises(UserError, match='KDLoss finds no class logits in the teacher'):
        distiller(dict(backbone=LITE), dict(loss=dict(type='KDLoss')))


def test_a_stride_that_the_teacher_lacks_is_refused_with_those_that_it_has(distiller):
    with pytest.raises(UserError, match=r"'backbone/4'.* strides 8, 16, 32: choose 'backbone/8'"):
        distiller(dict(backbone=LITE), transfer('backbone/4'))


def test_a_stride_picks_a_feature_map_of_a_neck(dense_detector):
    cfg = dense_detector(backbone=dict(type='ResNet', depth=18))
    cfg['neck'] = dict(type='FPN', in_channels=[64, 128, 256, 512], out_channels=72, num_outs=5)
    detector = MODELS.build(cfg).train()

    picked = [
        pick_by_stride(detector, Tap(layer), 'student').layer
        for layer in ('neck/8', 'neck/64', 'backbone/32', 'input:neck/4', 'neck', 'backbone.layer1')
    ]

    assert picked == [
        'neck[1]',
        'neck[4]',
        'backbone[3]',
        'input:neck[0]',
        'neck',
        'backbone.layer1',
    ]
    assert detector.training
    assert copy.copy(detector.backbone).training


def test_a_student_that_learns_by_stride_logs_under_the_name_that_was_given(
    tiny_config, padded_batch
):
    student = tiny_config('student').model
    student.backbone.out_layers = ('3b', '4b')
    student.neck = dict(type='ChannelMapper', in_channels=[40, 72], out_channels=72, num_outs=1)
    model = MODELS.build(
        dict(
            type='NSTDistiller',
            student=student,
            teacher=dict(backbone=VIT, checkpoint='random'),
            transfers=[
                dict(
                    student_layer='backbone/16',
                    teacher_layer='backbone/14',
                    loss=dict(type='NSTLoss'),
                )
            ],
        )
    )

    assert [t.name for t in model.transfers] == ['loss_nst_backbone_16']
    assert [t.student_tap.layer for t in model.transfers] == ['backbone[1]']

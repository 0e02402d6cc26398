"""Students that are no ordinary detectors: semi-supervised, with a teacher of their own, grey."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData

from nst_det.apis.build import build_detector
from nst_det.apis.list_layers import list_layers
from nst_det.config.detector import detector_config
from nst_det.errors import UserError
from nst_det.models.distillers.taps.dummy_batch import image_channels

LAYER = 'backbone.inception_4b'
RESNET = dict(type='ResNet', depth=18, base_channels=4, out_indices=(2,), norm_eval=True)
BRANCHES = ('sup', 'unsup_teacher', 'unsup_student')


def distiller(student, teacher, layer=LAYER, **options):
    return dict(
        type='NSTDistiller',
        student=student,
        teacher=dict(config=teacher, checkpoint='random'),
        transfers=[dict(layer=layer, loss=dict(type='NSTLoss'))],
        **options,
    )


def samples():
    shapes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    sample = DetDataSample(metainfo=dict.fromkeys(shapes, (64, 64)))
    sample.set_metainfo(dict(homography_matrix=torch.eye(3).numpy(), img_id=0))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 40, 40]]), labels=torch.zeros(1, dtype=torch.long)
    )
    return [sample]


def batch(model, channels=3):
    image = torch.randint(0, 256, (channels, 64, 64), dtype=torch.uint8)
    return model.data_preprocessor(dict(inputs=[image], data_samples=samples()), True)


def semi(detector):
    return ConfigDict(
        type='SemiBaseDetector',
        detector=detector,
        data_preprocessor=dict(
            type='MultiBranchDataPreprocessor', data_preprocessor=dict(type='DetDataPreprocessor')
        ),
        semi_train_cfg=dict(
            freeze_teacher=True,
            sup_weight=1.0,
            unsup_weight=1.0,
            cls_pseudo_thr=0.0,
            min_pseudo_bbox_wh=(1e-2, 1e-2),
        ),
        semi_test_cfg=dict(predict_on='teacher'),
    )


# Semi-supervised.


def test_a_distiller_around_a_semi_supervised_detector_is_one_line_with_the_cure(dense_detector):
    plain = dense_detector()
    with pytest.raises(UserError, match=r'put the distiller inside it, as its detector=') as raised:
        MODELS.build(distiller(semi(plain), plain, 'student.' + LAYER))
    assert raised.value.option == 'student'


@pytest.fixture
def semi_supervised(dense_detector):
    model = MODELS.build(semi(distiller(dense_detector(), dense_detector(width=0.25))))
    model.init_weights()
    return model


def test_a_distiller_inside_a_semi_supervised_detector_distils_both_kinds_of_images(
    semi_supervised,
):
    inputs = {name: torch.rand(1, 3, 64, 64) for name in BRANCHES}
    losses = semi_supervised.loss(inputs, {name: samples() for name in BRANCHES})
    assert losses[f'sup_loss_nst_{LAYER.replace(".", "_")}'] > 0
    assert f'unsup_loss_nst_{LAYER.replace(".", "_")}' in losses


def test_a_detector_around_it_initialises_it_and_opens_no_teacher_for_its_frozen_half(
    semi_supervised,
):
    assert semi_supervised.student.teacher is not None
    assert semi_supervised.teacher.teacher is None
    assert not hasattr(semi_supervised.student.student, '_params_init_info')


def test_the_checkpoint_of_both_is_that_of_two_plain_detectors(semi_supervised, dense_detector):
    plain = MODELS.build(semi(dense_detector()))
    assert list(semi_supervised.state_dict()) == list(plain.state_dict())


# A detector with a teacher of its own that it hides, such as mmdet's LD.


@pytest.fixture
def ld(dense_detector):
    """mmdet's LD, whose ``to`` and ``cuda`` move a teacher that is no child."""

    def gfl(kind, **options):
        return dict(
            type=kind,
            num_classes=4,
            in_channels=72,
            feat_channels=32,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                ratios=[1.0],
                octave_base_scale=2,
                scales_per_octave=1,
                strides=[16],
            ),
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
            loss_dfl=dict(type='DistributionFocalLoss'),
            loss_bbox=dict(type='GIoULoss'),
            **options,
        )

    teacher = dense_detector()
    neck = dict(type='ChannelMapper', in_channels=[72], kernel_size=1, out_channels=72)
    teacher.update(type='GFL', neck=neck, bbox_head=gfl('GFLHead'))
    student = dict(teacher, type='KnowledgeDistillationSingleStageDetector')
    student['bbox_head'] = gfl('LDHead', loss_ld=dict(type='KnowledgeDistillationKLDivLoss', T=10))
    student['teacher_config'] = dict(model=teacher)
    return student, teacher


@pytest.fixture
def around_ld(ld):
    student, teacher = ld
    return MODELS.build(distiller(student, teacher))


def hidden(model):
    return next(model.student.teacher_model.parameters())


def test_a_move_reaches_a_teacher_that_the_student_hides(around_ld):
    around_ld.init_weights()
    assert around_ld.to('meta') is around_ld
    parameters = [hidden(around_ld), *around_ld.parameters()]
    parameters += around_ld.teacher.detector.parameters()
    assert {parameter.device.type for parameter in parameters} == {'meta'}


@pytest.mark.parametrize('kind', ['half', 'double', 'bfloat16'])
def test_a_cast_reaches_a_teacher_that_the_student_hides(around_ld, kind):
    wanted = getattr(torch.zeros(1), kind)().dtype
    getattr(around_ld, kind)()
    assert {hidden(around_ld).dtype, next(around_ld.parameters()).dtype} == {wanted}


@pytest.mark.parametrize(
    ('arguments', 'options', 'wanted'),
    [
        ((torch.float16,), {}, torch.float16),
        (('cpu', torch.float64), {}, torch.float64),
        ((), dict(dtype=torch.bfloat16), torch.bfloat16),
        ((torch.zeros(1, dtype=torch.float64),), {}, torch.float64),
        (('cpu',), dict(non_blocking=True), torch.float32),
    ],
)
def test_to_takes_more_than_the_device_that_the_student_takes(
    around_ld, arguments, options, wanted
):
    around_ld.init_weights()
    assert around_ld.to(*arguments, **options) is around_ld
    taught_by = next(around_ld.teacher.detector.parameters())
    found = (hidden(around_ld), next(around_ld.parameters()), taught_by)
    assert {parameter.dtype for parameter in found} == {wanted}


@pytest.mark.parametrize('name', ['to', 'cpu', 'float', 'half'])
def test_a_move_reaches_what_the_students_class_overrides(dense_detector, monkeypatch, name):
    model = MODELS.build(distiller(dense_detector(), dense_detector()))
    calls = []
    kind = type(model.student)
    own = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda self, *args: calls.append(args) or own(self, *args))
    arguments = ('cpu',) if name == 'to' else ()
    getattr(model, name)(*arguments)
    assert calls == [arguments]


def test_a_student_whose_train_and_eval_return_nothing_is_trained(around_ld, ld):
    assert around_ld.train() is around_ld and around_ld.eval() is around_ld
    losses = around_ld.train()(**batch(around_ld), mode='loss')
    assert losses['loss_ld'] and losses[f'loss_nst_{LAYER.replace(".", "_")}'] > 0
    student, _ = ld
    assert detector_config(student)  # as add_nst and list_layers build it
    forward = list_layers(MODELS.build(student), (64, 64), body_only=True)
    assert LAYER in [layer.name for layer in forward.layers]


def test_a_detector_whose_train_and_eval_return_nothing_is_built_and_teaches(ld):
    student, teacher = ld
    assert build_detector(Config(dict(model=student))).training is False
    model = MODELS.build(distiller(teacher, student))
    assert model(**batch(model), mode='loss')[f'loss_nst_{LAYER.replace(".", "_")}'] > 0


# Images of one and of many channels.


def of_channels(dense_detector, channels, **preprocessor):
    detector = dense_detector(backbone=dict(RESNET, in_channels=channels))
    detector['bbox_head']['in_channels'] = 16
    detector['data_preprocessor'] = dict(type='DetDataPreprocessor', **preprocessor)
    return detector


GREY = dict(mean=[110.0], std=[60.0])
RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


@pytest.mark.parametrize(
    ('student', 'teacher'),
    [((1, GREY), (1, dict(mean=[0.0], std=[255.0]))), ((1, GREY), (3, RGB)), ((5, {}), (5, {}))],
    ids=['grey', 'grey taught by colours', 'five channels'],
)
def test_images_of_other_channels_are_distilled(dense_detector, student, teacher):
    student, teacher = (
        of_channels(dense_detector, n, **options) for n, options in (student, teacher)
    )
    model = MODELS.build(distiller(student, teacher, 'backbone.layer3'))
    losses = model(**batch(model, student['backbone']['in_channels']), mode='loss')
    assert losses['loss_nst_backbone_layer3'] > 0


@pytest.mark.parametrize('channels', [1, 3, 5])
def test_the_channels_of_the_images_are_found(dense_detector, channels):
    detector = MODELS.build(of_channels(dense_detector, channels))
    assert image_channels(detector) == channels
    assert list_layers(detector, (64, 64)).layers


def test_a_backbone_that_slices_its_images_takes_three_channels(dense_detector):
    backbone = dict(type='CSPDarknet', deepen_factor=0.1, widen_factor=0.125, out_indices=(3,))
    detector = dense_detector(backbone=backbone)
    detector['data_preprocessor'] = dict(type='DetDataPreprocessor')
    assert image_channels(MODELS.build(detector)) == 3

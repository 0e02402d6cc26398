"""Image classifiers of mmpretrain as students and teachers."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from torch.nn import functional as F

from nst_det.errors import UserError

DataSample = pytest.importorskip(
    'mmpretrain.structures', reason='no mmpretrain, whose classifiers are distilled'
).DataSample
KD = dict(loss=dict(type='KDLoss', loss_weight=1.0, temperature=4.0))
NST = dict(
    student_layer='backbone.inception_4b', teacher_layer='backbone.relu', loss=dict(type='NSTLoss')
)


@pytest.fixture
def build(tiny_classifiers, tmp_path):
    """``build(transfers, classes=10)`` gives a distiller whose teacher is another network."""

    def make(transfers, classes=10, kind='NSTDistiller'):
        student = tiny_classifiers(tmp_path).model
        teacher = copy.deepcopy(student)
        teacher.backbone = dict(type='PreActivationResNet', depth=11, base_channels=4)
        teacher.head.update(in_channels=64, num_classes=classes)
        teacher.data_preprocessor.update(mean=[10.0] * 3)
        model = dict(
            type=kind,
            student=student,
            teacher=dict(config=teacher, checkpoint='random'),
            transfers=transfers,
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            torch.manual_seed(0)
            built = MODELS.build(model)
            built.open_teacher()
        return built.train()

    return make


def batch(**metainfo):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (4, 3, 16, 16), generator=generator, dtype=torch.uint8)
    samples = [DataSample(metainfo=metainfo).set_gt_label(label) for label in (3, 1, 4, 1)]
    return dict(inputs=list(images), data_samples=samples)


def losses_of(model, data):
    return model(**model.data_preprocessor(data, True), mode='loss')


def test_kd_compares_the_logits_of_the_same_images_each_preprocessed_its_own_way(build):
    model = build([KD])
    data = batch()
    found = losses_of(model, copy.deepcopy(data))['loss_kd']
    teacher = model.teacher.detector
    student_logits, teacher_logits = (
        own(**own.data_preprocessor(copy.deepcopy(data), False), mode='tensor').double()
        for own in (model.student, teacher)
    )
    expected = 16 * F.kl_div(
        (student_logits / 4).log_softmax(1),
        (teacher_logits / 4).softmax(1),
        reduction='batchmean',
    )
    assert expected > 1e-6
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-8)


def test_a_teacher_of_a_thousand_classes_teaches_by_nst_and_is_refused_by_kd(build):
    losses = losses_of(build([NST], classes=1000), batch())
    assert losses['loss_nst_backbone_inception_4b'] > 0
    with pytest.raises(
        UserError, match='10 logits per image, the teacher 1000: both need'
    ) as error:
        losses_of(build([KD], classes=1000), batch())
    assert '\n' not in str(error.value)


def test_the_size_that_a_transform_left_in_a_sample_hides_no_pixel(build):
    model = build([NST])
    expected = losses_of(copy.deepcopy(model), batch())
    found = losses_of(model, batch(img_shape=(5, 7)))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_the_log_has_the_sum_of_the_losses_and_the_loss_of_the_classifier_beside_it(build):
    model = build([NST])
    losses = losses_of(model, batch())
    total, log = model.parse_losses(losses)
    assert log['loss'] == total == losses['loss'] + losses['loss_nst_backbone_inception_4b']
    assert log['loss_cls'] == losses['loss']


@pytest.mark.parametrize(
    'loss, reason',
    [
        ('MatchedQueryLoss', 'finds no queries'),
        ('LDLoss', 'finds no distributions of edges'),
        ('CrossKDLoss', 'CrossKDLoss'),
    ],
)
def test_a_loss_for_detectors_is_refused_when_the_model_is_built(build, loss, reason):
    with pytest.raises(UserError, match=reason):
        build([dict(loss=dict(type=loss))])


def test_kd_between_a_detector_and_a_classifier_is_refused(build, dense_detector):
    model = build([KD])
    model.teachers[''] = build([KD]).teacher
    model.teacher.detector = MODELS.build(dense_detector()).eval()
    with pytest.raises(UserError, match='a classifier as student and a one-stage detector'):
        losses_of(model, batch(img_shape=(16, 16)))


def test_predicting_is_the_students_and_needs_no_teacher(build):
    model = build([NST]).eval()
    model.teachers.clear()
    data = batch()
    expected = model.student(**model.data_preprocessor(copy.deepcopy(data)), mode='predict')
    found = model(**model.data_preprocessor(data), mode='predict')
    assert all(isinstance(sample, BaseDataElement) for sample in found) and len(found) == 4
    for sample, one in zip(found, expected):
        assert torch.equal(sample.pred_score, one.pred_score)

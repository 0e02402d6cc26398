"""The teacher runs as far as the active transfers need, and each module once."""

import copy
from collections import Counter

import pytest
import torch
from mmdet.models.detectors import FasterRCNN
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from nst_det.models.distillers.teacher.teacher import build_teacher

NST, AT, FITNET = ('NSTLoss', 'ATLoss', 'FitNetLoss')
TO_3B = ('backbone.conv1', 'backbone.conv2', 'backbone.inception_3a', 'backbone.inception_3b')
TO_4B = (*TO_3B, 'backbone.inception_3c', 'backbone.inception_4a', 'backbone.inception_4b')
TO_RPN = (*TO_4B, 'rpn_head.rpn_conv')
CLASSIFICATION = ('roi_head.bbox_roi_extractor', 'roi_head.shared_head', 'roi_head.bbox_head')


def at(layer, *losses):
    return [dict(layer=layer, loss=dict(type=one)) for one in losses]


KD = [dict(loss=dict(type='KDLoss'))]
MAP_3B, MAP_4B = 'backbone.inception_3b', 'backbone.inception_4b'


@pytest.fixture
def built(tiny_distiller, padded_batch):
    """A distiller after its first batch, on which a teacher runs to its end."""

    def build(transfers):
        torch.manual_seed(0)
        cfg = tiny_distiller()
        cfg.model.transfers = transfers
        model = MODELS.build(cfg.model)
        model.init_weights()
        data = padded_batch(model)
        model(**copy.deepcopy(data), mode='loss')
        return model, data

    return build


def leaves(detector, parts):
    """The names of the modules without children in parts of a detector, without its losses."""
    return [
        name
        for name, module in detector.named_modules()
        if not list(module.children()) and f'{name}.'.startswith(tuple(f'{p}.' for p in parts))
        if '.loss_' not in name
    ]


def runs(model, data):
    """Count the runs of each module without children of the teacher in a training step."""
    ran = Counter()
    detector = model.open_teacher().detector
    hooks = [
        detector.get_submodule(name).register_forward_pre_hook(lambda *_, n=name: ran.update([n]))
        for name in leaves(detector, ('backbone', 'rpn_head', 'roi_head'))
    ]
    model(**copy.deepcopy(data), mode='loss')
    for hook in hooks:
        hook.remove()
    return ran


@pytest.mark.parametrize(
    ('transfers', 'parts'),
    [
        (at(MAP_4B, NST), TO_4B),
        (at(MAP_4B, AT), TO_4B),
        (at(MAP_4B, FITNET), TO_4B),
        (at(MAP_3B, NST), TO_3B),
        (at('rpn_head.rpn_conv', NST), TO_RPN),
        (KD, TO_4B + CLASSIFICATION),
        (at(MAP_4B, NST, AT, FITNET), TO_4B),
        (at(MAP_3B, AT) + at(MAP_4B, FITNET), TO_4B),
        (KD + at(MAP_4B, NST), TO_4B + CLASSIFICATION),
        (KD + at(MAP_4B, AT), TO_4B + CLASSIFICATION),
        (KD + at(MAP_4B, FITNET), TO_4B + CLASSIFICATION),
        (KD + at(MAP_3B, NST), TO_4B + CLASSIFICATION),
        (KD + at('rpn_head.rpn_conv', NST), TO_RPN + CLASSIFICATION),
        (KD + at(MAP_4B, NST, AT, FITNET), TO_4B + CLASSIFICATION),
    ],
    ids=lambda value: (
        None
        if isinstance(value, tuple)
        else '+'.join(f'{one["loss"]["type"]}@{one.get("layer", "")}' for one in value)
    ),
)
def test_the_teacher_runs_each_module_that_a_transfer_needs_once_and_no_other(
    built, transfers, parts
):
    model, data = built(transfers)
    needed = leaves(model.open_teacher().detector, parts)
    assert runs(model, data) == dict.fromkeys(needed, 1)


def test_the_teacher_runs_no_further_for_a_transfer_that_a_schedule_turned_off(built):
    model, data = built(KD + at(MAP_3B, NST))
    kd, nst = model.transfers
    kd.factor = 0.0
    assert runs(model, data) == dict.fromkeys(leaves(model.open_teacher().detector, TO_3B), 1)
    nst.factor = 0.0
    assert not runs(model, data)


def test_the_teacher_runs_no_further_for_logits_alone_on_its_first_batch_either(
    tiny_distiller, padded_batch
):
    cfg = tiny_distiller()
    cfg.model.transfers = KD
    cfg.model.teacher.update(
        fuse=False, channels_last=False
    )  # the first batch runs several times to check them
    model = MODELS.build(cfg.model)
    model.init_weights()
    needed = leaves(model.open_teacher().detector, TO_4B + CLASSIFICATION)
    assert runs(model, padded_batch(model)) == dict.fromkeys(needed, 1)


def test_a_teacher_names_its_types_as_text_where_a_pure_python_student_has_no_scope(tiny_config):
    model = tiny_config('teacher').model
    with DefaultScope.overwrite_default_scope('mmengine'):
        with pytest.raises(KeyError):
            MODELS.build(copy.deepcopy(model))
        assert type(build_teacher(model)) is FasterRCNN

"""Building the transfers that a config lists."""

import pytest

from nst_det.errors import UserError
from nst_det.models.distillers.transfers.build import build_transfers, layer_options
from nst_det.models.distillers.transfers.feature_transfer import FeatureTransfer
from nst_det.models.distillers.transfers.logit_transfer import LogitTransfer

NST, KD = dict(type='NSTLoss'), dict(type='KDLoss')


def test_a_transfer_is_built_for_what_its_loss_compares():
    features, logits = build_transfers([dict(layer='neck[0]', loss=NST), dict(loss=KD)])
    assert isinstance(features, FeatureTransfer) and not features.needs_logits
    assert isinstance(logits, LogitTransfer) and logits.needs_logits
    assert features.teacher_taps == [features.teacher_tap] and logits.teacher_taps == []


def test_names_are_unique_and_contain_the_layer_of_the_student():
    cfgs = [
        dict(student_layer='input:backbone.layer3', teacher_layer='neck[0]', loss=NST),
        dict(layer='input:backbone.layer3', loss=NST),
        dict(layer='neck[0]', loss=dict(type='ATLoss')),
        dict(loss=KD),
        dict(loss=KD),
    ]
    assert [transfer.name for transfer in build_transfers(cfgs)] == [
        'loss_nst_input_backbone_layer3',
        'loss_nst_input_backbone_layer3_1',
        'loss_at_neck_0',
        'loss_kd',
        'loss_kd_4',
    ]


@pytest.mark.parametrize(
    ('foreground', 'margin'),
    [({}, 0.0), (dict(margin=12), 12), (True, 0.0), (False, None)],
)
def test_a_transfer_may_be_for_objects_alone_with_a_margin(foreground, margin):
    (transfer,) = build_transfers([dict(layer='neck[0]', loss=NST, foreground=foreground)])
    assert transfer.foreground_margin == margin


def test_the_option_of_each_layer_is_named():
    cfgs = [dict(layer='a', loss=NST), dict(student_layer='a', teacher_layer='b'), dict(loss=KD)]
    assert layer_options(cfgs, 'teacher') == [
        'transfers[0].layer',
        'transfers[1].teacher_layer',
        'transfers[2].loss',
    ]


@pytest.mark.parametrize(
    ('cfgs', 'option'),
    [
        (dict(layer='neck'), 'transfers'),
        (['neck'], 'transfers[0]'),
        ([dict(layer='neck')], 'transfers[0].loss'),
        ([dict(layer='neck', loss=KD)], 'transfers[0].layer'),
        ([dict(loss=NST)], 'transfers[0].student_layer'),
        ([dict(student_layer='neck', loss=NST)], 'transfers[0].teacher_layer'),
        ([dict(layer='neck', student_layer='neck', loss=NST)], 'transfers[0].student_layer'),
        ([dict(layer='neck', loss=NST), dict(layer='in:neck', loss=NST)], 'transfers[1].layer'),
        ([dict(layer='neck', lossy=NST)], 'transfers[0].lossy'),
        ([dict(loss=KD, foreground=True)], 'transfers[0].foreground'),
        ([dict(layer='neck', loss=NST, foreground=8)], 'transfers[0].foreground'),
        (
            [dict(layer='neck', loss=NST, foreground=dict(margin=-1))],
            'transfers[0].foreground.margin',
        ),
        (
            [dict(layer='neck', loss=NST, foreground=dict(pixels=1))],
            'transfers[0].foreground.pixels',
        ),
    ],
)
def test_a_wrong_option_is_named_in_one_clear_line(cfgs, option):
    with pytest.raises(UserError, match=r'^transfers[^\n]*$') as error:
        build_transfers(cfgs)
    assert error.value.option == option


def test_each_transfer_names_one_of_several_teachers():
    cfgs = [
        dict(layer='neck[0]', loss=NST, teacher='large'),
        dict(layer='neck[0]', loss=NST, teacher='old'),
        dict(loss=KD, teacher='old'),
    ]
    transfers = build_transfers(cfgs, ['large', 'old'])
    assert [transfer.teacher for transfer in transfers] == ['large', 'old', 'old']
    names = ['loss_nst_neck_0_large', 'loss_nst_neck_0_old', 'loss_kd_old']
    assert [transfer.name for transfer in transfers] == names


def test_a_single_teacher_need_not_be_named():
    for cfg in (dict(loss=KD), dict(loss=KD, teacher='large')):
        (transfer,) = build_transfers([cfg], ['large'])
        assert (transfer.teacher, transfer.name) == ('large', 'loss_kd')


@pytest.mark.parametrize(
    ('teacher', 'teachers', 'line'),
    [
        ({}, ['large', 'old'], "transfers[0] has no teacher: name one of 'large', 'old'"),
        (dict(teacher='lrage'), ['large', 'old'], "transfers[0].teacher is 'lrage': name one of"),
        (dict(teacher='large'), [''], "transfers[0].teacher is 'large', but there is one teacher"),
        (dict(teacher=['old']), ['large', 'old'], "transfers[0].teacher is ['old']: name one of"),
    ],
)
def test_a_wrong_teacher_is_refused_in_one_line(teacher, teachers, line):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        build_transfers([dict(loss=KD, **teacher)], teachers)
    assert str(error.value).startswith(line) and error.value.option == 'transfers[0].teacher'


def test_a_teacher_that_no_transfer_names_is_refused():
    with pytest.raises(UserError, match="^the teacher 'old' is named by no transfer: name it"):
        build_transfers([dict(loss=KD, teacher='large')], ['large', 'old'])

"""What a model card tells about the training of a student."""

from mmengine.config import Config

from nst_det.export.model_card import training_facts

LAYERS = dict(student_layer='neck[0]', teacher_layer='backbone/16')


def facts(teacher, *transfers):
    return training_facts(
        Config(dict(model=dict(type='NSTDistiller', teacher=teacher, transfers=list(transfers)))),
        {},
    )


def test_a_transfer_is_told_with_its_layers_if_it_has_some():
    found = facts(
        dict(config='large.py', checkpoint='no_such_file.pth'),
        dict(layer='neck[1]', loss=dict(type='NSTLoss')),
        dict(**LAYERS, loss=dict(type='CWDLoss', loss_weight=3)),
        dict(loss=dict(type='KDLoss', loss_weight='auto')),
    )
    assert found['teacher'] == 'large.py'
    assert found['teacher weights'] == 'no_such_file.pth (not here)'
    assert found['transfer 1'] == 'NSTLoss at neck[1], λ = the default'
    assert found['transfer 2'] == 'CWDLoss at neck[0] from backbone/16, λ = 3'
    assert found['transfer 3'] == 'KDLoss, λ = auto'


def test_each_of_several_teachers_is_told_and_which_one_a_transfer_reads():
    found = facts(
        [
            dict(name='large', config='large.py', checkpoint='no_such_file.pth'),
            dict(name='bare', backbone=dict(type='TimmBackbone', pretrained=True)),
        ],
        dict(loss=dict(type='KDLoss'), teacher='large'),
    )
    assert found['teacher large'] == 'large.py'
    assert found['teacher bare'] == 'TimmBackbone'
    assert found['teacher bare weights'] == 'those that its backbone names'
    assert found['transfer 1'] == 'KDLoss, teacher large, λ = the default'

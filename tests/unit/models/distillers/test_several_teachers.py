"""A student with several teachers: each transfer reads the one that it names."""

import copy

import pytest
import torch
from mmdet.registry import MODELS

from nst_det.errors import UserError

LAYER = 'backbone.inception_4b'


@pytest.fixture
def build(tiny_distiller):
    """A function that builds a distiller from its teachers and transfers, and loads them."""

    def make(teachers, transfers):
        cfg = tiny_distiller()
        cfg.model.teacher = teachers
        cfg.model.transfers = transfers
        cfg.model.monitor_interval = 0
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        return model

    return make


@pytest.fixture
def teachers(tiny_distiller, tmp_path):
    """Two teachers of one config with weights of their own."""
    config = tiny_distiller().model.teacher.config
    options = []
    for seed, name in enumerate(['large', 'old']):
        torch.manual_seed(10 + seed)
        detector = MODELS.build(copy.deepcopy(config) if not isinstance(config, str) else config)
        for parameter in detector.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        torch.save(dict(state_dict=detector.state_dict()), tmp_path / f'{name}.pth')
        options.append(dict(name=name, config=config, checkpoint=str(tmp_path / f'{name}.pth')))
    return options


def transfer(**options):
    return dict(layer=LAYER, loss=dict(type='NSTLoss'), **options)


def losses(model, padded_batch):
    torch.manual_seed(1)
    values = model(**padded_batch(model), mode='loss')
    return {key: value for key, value in values.items() if key.startswith('loss_nst')}


def test_each_transfer_reads_its_own_teacher(build, teachers, padded_batch):
    both = [transfer(teacher='large'), transfer(teacher='old')]
    found = losses(build(teachers, both), padded_batch)
    name = 'loss_nst_backbone_inception_4b'
    for teacher in teachers:
        alone = {key: value for key, value in teacher.items() if key != 'name'}
        expected = losses(build(alone, [transfer()]), padded_batch)[name]
        torch.testing.assert_close(found[f'{name}_{teacher["name"]}'], expected)
    assert not torch.isclose(found[f'{name}_large'], found[f'{name}_old'])


def test_only_the_teachers_of_active_transfers_are_loaded(build, teachers):
    off = transfer(teacher='old')
    off['loss'] = dict(type='NSTLoss', loss_weight=0.0)
    model = build(teachers, [transfer(teacher='large'), off])
    assert list(model.teachers) == ['large']


def test_no_teacher_is_in_the_checkpoint_and_all_move_and_cast(build, teachers, tiny_config):
    model = build(teachers, [transfer(teacher='large'), transfer(teacher='old')])
    plain = MODELS.build(tiny_config('student').model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    model.double()
    for teacher in model.teachers.values():
        assert {value.dtype for value in teacher.detector.parameters()} == {torch.float64}


def test_a_connector_is_built_for_the_channels_of_its_own_teacher(build, teachers):
    fitnet = dict(layer=LAYER, loss=dict(type='FitNetLoss'), teacher='old')
    model = build(teachers, [transfer(teacher='large'), fitnet])
    assert not model.transfers[1].loss.needs_channels


@pytest.mark.parametrize(
    ('change', 'option', 'line'),
    [
        (dict(name=None), 'teacher[1].name', 'teacher[1].name is None, expected a name'),
        (dict(name='large'), 'teacher[1].name', "teacher[1].name is 'large', expected a name of"),
        (dict(name='a b'), 'teacher[1].name', "teacher[1].name is 'a b', expected a name of"),
        (dict(checkpoint=None), 'teacher[1].checkpoint', 'teacher[1] has no checkpoint, and'),
        (dict(scale=0), 'teacher[1].scale', 'teacher[1].scale is 0, expected a number'),
        (dict(speed=1), 'teacher[1].speed', "teacher[1] has no option 'speed'"),
    ],
)
def test_a_wrong_option_of_one_of_several_is_named_in_one_line(
    build, teachers, change, option, line
):
    teachers[1].update(change)
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        build(teachers, [transfer(teacher='large'), transfer(teacher='old')])
    assert str(error.value).startswith(line) and error.value.option == option


@pytest.mark.parametrize('is_list', [False, True])
@pytest.mark.parametrize('named', [False, True])
def test_a_single_teacher_may_have_a_name_and_be_a_list(build, teachers, is_list, named):
    teacher = teachers[0] if named else {k: v for k, v in teachers[0].items() if k != 'name'}
    reads = transfer(teacher='large') if named else transfer()
    model = build([teacher] if is_list else teacher, [reads])
    assert list(model.teachers) == ['large' if named else '']
    assert model.transfers[0].name == 'loss_nst_backbone_inception_4b'


def test_an_empty_list_of_teachers_is_refused(build):
    with pytest.raises(UserError, match=r'^teacher is \[\], expected dict\(config=…'):
        build([], [transfer()])

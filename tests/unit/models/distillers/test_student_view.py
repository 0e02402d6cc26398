"""A distiller shows the parameters, modules and attributes of its student, under their names."""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.analysis import parameter_count
from mmengine.model import ExponentialMovingAverage, convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import get_state_dict
from mmengine.runner.checkpoint import load_state_dict as load_as_mmengine_does
from torch import nn

FITNET = dict(layer='backbone.inception_4b', loss=dict(type='FitNetLoss'))
LAYER_WISE = 'LearningRateDecayOptimizerConstructor'


class TinyConvNeXt(nn.Module):
    """The parameter names of a ConvNeXt, by which mmdet tells its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList([nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 4, 2, 2)])
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(4, 4, 1)) for _ in range(4)])


@pytest.fixture
def plain(tiny_config):
    return MODELS.build(tiny_config('student').model)


@pytest.fixture
def distiller(tiny_distiller):
    return MODELS.build(tiny_distiller().model)


@pytest.fixture
def with_connector(tiny_distiller, tiny_config):
    """A distiller with FitNet, whose teacher has other channels, so that there is a connector."""
    teacher = tiny_config('teacher').model
    teacher.backbone.width = teacher.roi_head.shared_head.width = 0.25
    cfg = tiny_distiller(**{'model.transfers': [FITNET]})
    cfg.model.teacher.config = teacher
    return MODELS.build(cfg.model)


def names(pairs):
    return [name for name, _ in pairs]


def test_its_parameters_buffers_and_modules_have_the_names_of_the_students(plain, distiller):
    assert names(distiller.named_parameters()) == names(plain.named_parameters())
    assert names(distiller.named_buffers()) == names(plain.named_buffers())
    assert names(distiller.named_modules()) == names(plain.named_modules())
    assert names(distiller.named_children()) == names(plain.named_children())
    assert parameter_count(distiller) == parameter_count(plain)


def test_its_state_dict_has_the_students_keys_in_their_order(plain, distiller, with_connector):
    keys = list(plain.state_dict())
    for model in (distiller, with_connector):
        assert list(model.state_dict()) == keys
        assert list(get_state_dict(model)) == keys  # of mmengine's save_checkpoint
        assert list(model.state_dict()._metadata) == list(plain.state_dict()._metadata)


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_as_mmengine_does])
def test_a_state_dict_of_the_student_loads_with_no_key_left_over(plain, with_connector, load):
    load(with_connector, plain.state_dict(), strict=True)
    for key, value in plain.state_dict().items():
        assert torch.equal(with_connector.state_dict()[key], value)


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_as_mmengine_does])
def test_a_students_own_renaming_of_keys_is_kept(plain, distiller, load):
    """A two-stage detector takes the weights of a lone RPN, whose head is called bbox_head."""
    weights = {
        key.replace('rpn_head.', 'bbox_head.'): torch.full_like(value, 3)
        for key, value in plain.state_dict().items()
        if key.startswith('rpn_head.')
    }
    load(distiller, OrderedDict(weights), strict=False)
    assert (distiller.rpn_head.rpn_conv.weight == 3).all()


@pytest.mark.parametrize('update_buffers', [False, True])
def test_a_moving_average_has_the_keys_of_the_students(plain, distiller, update_buffers):
    averages = [
        ExponentialMovingAverage(model, momentum=0.5, update_buffers=update_buffers)
        for model in (plain, distiller)
    ]
    assert list(averages[1].state_dict()) == list(averages[0].state_dict())
    assert list(averages[1].avg_parameters) == list(averages[0].avg_parameters)
    averages[1].load_state_dict(averages[0].state_dict())
    averages[1].update_parameters(distiller)


def rates(model, **paramwise):
    """The learning rate and the weight decay of every parameter, by name."""
    optimizer = dict(type='SGD', lr=1.0, weight_decay=0.5)
    cfg = dict(type='OptimWrapper', optimizer=optimizer, paramwise_cfg=paramwise)
    cfg['constructor'] = paramwise.pop('constructor', 'DefaultOptimWrapperConstructor')
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    by_id = {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    return {name: by_id[id(value)] for name, value in model.named_parameters()}


@pytest.mark.parametrize(
    'paramwise',
    [
        dict(custom_keys={'backbone.conv1': dict(lr_mult=0.1), 'roi_head': dict(decay_mult=0.0)}),
        dict(norm_decay_mult=0.0, bias_lr_mult=2.0),
    ],
    ids=['custom keys', 'by kind'],
)
def test_paramwise_options_give_a_parameter_the_rate_of_the_plain_students(
    plain, distiller, paramwise
):
    plain_rates = rates(plain, **copy.deepcopy(paramwise))
    assert rates(distiller, **copy.deepcopy(paramwise)) == plain_rates
    assert len(set(plain_rates.values())) > 1


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
def test_layer_wise_decay_gives_a_layer_the_rate_of_the_plain_students(
    plain, distiller, decay_type
):
    for model in (plain, distiller):
        model.backbone = TinyConvNeXt()
    options = dict(decay_rate=0.5, decay_type=decay_type, num_layers=6, constructor=LAYER_WISE)
    plain_rates = rates(plain, **options)
    assert rates(distiller, **options) == plain_rates
    first, last = ('backbone.downsample_layers.0.weight', 'roi_head.bbox_head.fc_cls.weight')
    assert plain_rates[first][0] < plain_rates[last][0]


def test_an_attribute_of_the_student_is_found_by_its_name(distiller):
    assert distiller.roi_head is distiller.student.roi_head
    assert distiller.test_cfg is distiller.student.test_cfg
    with pytest.raises(AttributeError, match='no_such_thing'):
        distiller.no_such_thing  # noqa: B018


def test_a_module_that_a_hook_replaces_is_replaced_in_the_student(distiller):
    neck = nn.Identity()
    distiller.neck = neck
    assert distiller.student.neck is neck


def test_the_conversions_of_batch_norms_reach_the_student(with_connector):
    converted = convert_sync_batchnorm(with_connector)
    kinds = {type(module) for module in converted.student.modules()}
    assert nn.SyncBatchNorm in kinds
    assert nn.BatchNorm2d not in kinds
    reverted = revert_sync_batchnorm(converted)
    assert nn.SyncBatchNorm not in {type(module) for module in reverted.student.modules()}
    assert not hasattr(reverted.student, 'trained_losses')


def test_training_mode_reaches_the_student_and_its_trained_losses(with_connector):
    for mode in (False, True):
        with_connector.train(mode)
        modules = [with_connector, with_connector.student, *with_connector.modules()]
        assert {module.training for module in modules} == {mode}


def test_trained_losses_belong_to_the_optimizer_and_not_to_the_student(plain, with_connector):
    own = names(plain.named_parameters())
    trained = names(with_connector.trained_losses.named_parameters(prefix='trained_losses'))
    assert trained
    assert names(with_connector.named_parameters()) == own + trained
    assert names(with_connector.student.named_parameters()) == own
    assert set(trained) <= set(rates(with_connector, norm_decay_mult=0.0))


def test_a_copy_is_complete_and_its_own(distiller):
    for clone in (copy.deepcopy(distiller), pickle.loads(pickle.dumps(distiller))):
        assert next(clone.parameters()) is next(clone.student.parameters())
        assert next(clone.parameters()) is not next(distiller.parameters())
        assert clone.backbone is clone.student.backbone

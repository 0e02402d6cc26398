"""The tables of losses: one loss a row, each by the same rule, and a step of training of each."""

import functools

import pytest
import torch
from locations import CONFIGS
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from nst_det.experiments import read_rows
from nst_det.models.losses import FeatureLoss

FEATURES = dict(
    fitnet='FitNetLoss',
    at='ATLoss',
    nst_linear='NSTLoss',
    nst_poly='NSTLoss',
    nst_gaussian='NSTLoss',
    nst_objects='NSTLoss',
    cwd='CWDLoss',
    pkd='PKDLoss',
    mgd='MGDLoss',
    fgd='FGDLoss',
    cka='CKALoss',
    sp='SPLoss',
    rkd='RKDLoss',
)
LOSSES = {
    'losses_shapes': {**FEATURES, 'kd': 'KDLoss', 'ld': 'LDLoss', 'crosskd': 'CrossKDLoss'},
    'losses_voc07-320': {**FEATURES, 'kd': 'KDLoss'},
}


@functools.cache
def rows(table):
    return read_rows([str(CONFIGS / f'tables/{table}.py')])


@pytest.mark.parametrize('table', LOSSES)
def test_a_row_has_one_loss_whose_weight_is_measured(table):
    found = {}
    for name, cfg in rows(table).items():
        if name != 'baseline':
            (transfer,) = cfg.model.transfers
            assert transfer.loss.loss_weight == 'auto'
            assert ('foreground' in transfer) == (name == 'nst_objects')
            found[name] = transfer.loss.type
    assert found == LOSSES[table]
    methods = [cfg.method for cfg in rows(table).values()]
    assert methods[0] == 'Baseline' and len(set(methods)) == len(methods)


@pytest.mark.parametrize('table', LOSSES)
def test_the_rows_differ_in_their_loss_alone(table):
    shared = []
    for cfg in rows(table).values():
        rest = cfg.to_dict()
        model = rest.pop('model')
        shared.append((rest, model.get('student', model)))
        assert rest.pop('row') in ('baseline', *LOSSES[table]) and rest.pop('method')
    assert all(each == shared[0] for each in shared)


def test_the_table_has_every_loss_between_feature_maps():
    registered = [cls for cls in MODELS.module_dict.values() if issubclass(cls, FeatureLoss)]
    own = {cls.__name__ for cls in registered if cls.__module__.startswith('nst_det.')}
    assert own == set(FEATURES.values())


def four_images():
    """A batch of noise with two objects in each image: RKD compares at least three images."""
    generator = torch.Generator().manual_seed(0)
    info = dict(img_shape=(96, 128), pad_shape=(96, 128), batch_input_shape=(96, 128))
    boxes = torch.tensor([[8.0, 8, 60, 60], [50.0, 20, 110, 90]])
    samples = []
    for _ in range(4):
        samples.append(DetDataSample(metainfo=info))
        samples[-1].gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([3, 1]))
    return 100 * torch.randn(4, 3, 96, 128, generator=generator), samples


@pytest.mark.parametrize('row', LOSSES['losses_shapes'])
def test_a_row_takes_a_step_of_training(row):
    model = rows('losses_shapes')[row].model.copy()
    model.teacher = dict(model.teacher, checkpoint='random')
    torch.manual_seed(0)
    distiller = MODELS.build(model)
    distiller.init_weights()
    losses = distiller.loss(*four_images())
    (transfer,) = distiller.transfers
    assert losses[transfer.name].isfinite() and losses[transfer.name] > 0
    assert losses[f'weight_{transfer.log_name}'] > 0
    losses[transfer.name].backward()
    learned = distiller.student.backbone.conv1.conv7x7.conv.weight.grad
    assert learned.isfinite().all() and learned.abs().sum() > 0

"""The tables of classification: their rows, their networks, and the values of the paper."""

import functools

import pytest
import torch
from locations import CONFIGS
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from nst_det.config.load import load_config
from nst_det.experiments import paper_rows, read_rows
from nst_det.experiments.protocol import shared_protocol

pytest.importorskip('mmpretrain', reason='no mmpretrain, whose classifiers are distilled')
TABLE = CONFIGS / 'tables/table_digits.py'
TEACHER = CONFIGS / 'classification/pre-activation-r29_15e_digits.py'
ROWS = ['baseline', 'kd', 'fitnet', 'at', 'nst_linear', 'nst_poly', 'nst_gaussian', 'kd_nst']


@functools.cache
def rows(table=TABLE):
    return read_rows([str(table)])


def test_all_rows_of_the_digits_and_the_teacher_share_their_test():
    protocol = shared_protocol({**rows(), 'teacher': load_config(str(TEACHER))})
    assert protocol.metric == 'ClassificationError'
    assert protocol.classes == tuple('0123456789')


# The tables of the paper.


@pytest.mark.parametrize(
    ('name', 'baseline'), [('cifar10', 5.80), ('cifar100', 25.63), ('imagenet', 25.74)]
)
def test_the_paper_has_values_for_the_rows_of_its_tables(name, baseline):
    configs = rows(CONFIGS / f'tables/table_{name}.py')
    teacher = configs['nst_poly'].model.teacher.config
    if name != 'imagenet':  # whose teacher is trained already
        configs = {**configs, 'teacher': load_config(teacher)}
    paper = paper_rows(shared_protocol(configs))
    assert paper['Baseline'] == {'top-1 error': baseline}
    assert {*paper} - {'Teacher'} < {cfg.get('method') for cfg in configs.values()}


@pytest.mark.parametrize(
    ('name', 'pixels', 'side', 'millions'),
    [
        ('cifar10', 32, 8, (1.65, 10.33)),
        ('imagenet', 224, 7, (11.30, 44.55)),
    ],
)
def test_the_last_maps_have_one_size_and_the_networks_their_number_of_parameters(
    name, pixels, side, millions
):
    model = rows(CONFIGS / f'tables/table_{name}.py')['nst_poly'].model
    (transfer,) = model.transfers
    init_default_scope('mmpretrain')
    taught = (model.student, transfer.student_layer)
    teaching = (load_config(model.teacher.config).model, transfer.teacher_layer)
    for (config, layer), expected in zip((taught, teaching), millions):
        network = MODELS.build(config).eval().to('meta')  # shapes without numbers
        sizes = []
        network.get_submodule(layer).register_forward_hook(
            lambda module, args, output, sizes=sizes: sizes.append(tuple(output.shape[2:]))
        )
        network(torch.empty(1, 3, pixels, pixels, device='meta'))
        assert sizes == [(side, side)]
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count / 1e6 == pytest.approx(expected, abs=0.006)


# The digits.


@pytest.mark.parametrize('row', ROWS)
def test_a_step_of_training_of_a_row(row):
    cfg = rows()[row]
    init_default_scope(cfg.default_scope)
    model = cfg.model.to_dict()
    if row != 'baseline':
        model['teacher'] = dict(config=str(TEACHER), checkpoint='random')
    built = MODELS.build(model)
    built.train()
    from mmpretrain.structures import DataSample

    data = dict(
        inputs=[torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(2)],
        data_samples=[DataSample().set_gt_label(label) for label in (3, 7)],
    )
    losses = built(**built.data_preprocessor(data, True), mode='loss')
    expected = {'kd': {'kd'}, 'kd_nst': {'kd', 'nst'}, 'baseline': set()}
    found = {name.split('_')[1] for name in losses if name.startswith('loss_')}
    assert found == expected.get(row, {row.split('_')[0]})
    total, _ = built.parse_losses(losses)
    total.backward()
    assert all(parameter.grad is not None for parameter in built.parameters())

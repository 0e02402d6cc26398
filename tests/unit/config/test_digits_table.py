"""The table of the digits: its rows, its networks, and that a training of each row can begin."""

import functools

import pytest
import torch
from locations import CONFIGS
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from nst_det.config.load import load_config
from nst_det.experiments import read_rows
from nst_det.experiments.protocol import shared_protocol

pytest.importorskip('mmpretrain', reason='no mmpretrain, whose classifiers are distilled')
TABLE = CONFIGS / 'tables/table_digits.py'
TEACHER = CONFIGS / 'classification/pre-activation-r29_15e_digits.py'
ROWS = ['baseline', 'kd', 'fitnet', 'at', 'nst_linear', 'nst_poly', 'nst_gaussian', 'kd_nst']


@functools.cache
def rows():
    return read_rows([str(TABLE)])


def test_all_rows_and_the_teacher_share_their_test():
    protocol = shared_protocol({**rows(), 'teacher': load_config(str(TEACHER))})
    assert protocol.metric == 'ClassificationError'
    assert protocol.classes == tuple('0123456789')


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

"""The tool that proposes λ measures what it says, and leaves nothing behind."""

import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from nst_det.apis.suggest_weight import Measurement, measure
from nst_det.errors import UserError


def test_it_measures_and_proposes_without_leaving_anything(tool, write, tiny_distiller):
    config = write(tiny_distiller())
    before = sorted(Path('.').rglob('*'))
    status, out, err = tool('suggest_weight', config, '--iterations', 3, '--target', 0.2)
    assert status == 0, err
    assert [line[:13] for line in out.splitlines() if line.startswith('iteration')] == [
        'iteration 1/3',
        'iteration 2/3',
        'iteration 3/3',
    ]
    proposed = float(
        re.search(r'--cfg-options model\.transfers\.0\.loss\.loss_weight=(\S+)$', out.strip())[1]
    )
    median = sorted(map(float, re.findall(r'^iteration.* ratio at λ=1 (\S+)$', out, re.M)))[1]
    assert proposed * median == pytest.approx(0.2, rel=0.06)
    assert sorted(Path('.').rglob('*')) == before


def test_it_measures_at_weight_1_whatever_the_config_gives(tiny_distiller):
    loss = dict(type='NSTLoss', kernel=dict(type='LinearKernel'))
    found = []
    for weights in [(50.0, 0.0), (0.0, 3.0)]:
        cfg = tiny_distiller(
            **{
                'model.transfers': [
                    dict(layer=f'backbone.inception_{block}', loss=dict(loss, loss_weight=weight))
                    for block, weight in zip(('3b', '4b'), weights)
                ]
            }
        )
        # 3 iterations: one more than the data set has batches.
        one, two = measure(cfg, 3, lambda done, measurements: None)
        assert (one.weight, two.weight) == weights
        assert len(one.ratios) == len(one.distances) == 3
        found.append((one.distances, one.ratios, two.distances, two.ratios))
    assert found[0] == found[1]


def test_the_measured_student_is_the_one_that_training_loads(tiny_config, tiny_distiller, tmp_path):
    torch.manual_seed(3)
    torch.save(MODELS.build(tiny_config('student').model).state_dict(), tmp_path / 'start.pth')
    found = []
    for seed in (0, 1):
        cfg = tiny_distiller(load_from=str(tmp_path / 'start.pth'))
        cfg.train_dataloader.update(batch_size=8, sampler=dict(shuffle=False))
        cfg.train_dataloader.dataset.pipeline = [
            step for step in cfg.train_dataloader.dataset.pipeline if step.type != 'RandomFlip'
        ]
        cfg.randomness.seed = seed
        found += measure(cfg, 1, lambda done, measurements: None)
    assert found[0].distances == found[1].distances


def test_the_proposal_is_the_weight_of_the_target_by_the_median():
    assert Measurement('x', 50.0, [0.1] * 3, [0.03, 0.9, 0.01]).suggested_weight(0.5) == 17


@pytest.mark.parametrize(
    ('ratio', 'message'),
    [
        (0.0, "'x' has no gradient .* choose another layer"),
        (float('inf'), "detection losses could be measured at 'x'"),
        (float('nan'), "detection losses could be measured at 'x'"),
    ],
)
def test_no_gradient_is_no_ratio(ratio, message):
    with pytest.raises(UserError, match=message):
        Measurement('x', 50.0, [0.0], [ratio]).suggested_weight(0.5)


# A user's mistakes: one line, exit status 2.


@pytest.mark.parametrize(
    ('changes', 'options', 'message'),
    [
        ({'model.transfers': []}, [], 'the distiller has no transfers'),
        ({'load_from': 'gone.pth'}, [], 'gone.pth does not exist'),
        ({}, ['--target', '0'], '--target is 0.0, expected a ratio greater than 0'),
        ({}, ['--iterations', '0'], '--iterations is 0, expected at least 1'),
    ],
)
def test_a_mistake_is_one_clear_line(tool, write, tiny_distiller, changes, options, message):
    status, _, err = tool('suggest_weight', write(tiny_distiller(**changes)), *options)
    assert status == 2
    assert err.splitlines()[-1].startswith('error: ')
    assert message in err.splitlines()[-1]


def test_a_plain_detectors_config_has_no_weight_to_suggest(tool, write, tiny_config):
    status, _, err = tool('suggest_weight', write(tiny_config('student')))
    assert status == 2
    assert 'the model of this config is a FasterRCNN, expected an NSTDistiller' in err

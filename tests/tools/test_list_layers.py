"""The table of layers, as a user gets it."""

import pytest


@pytest.fixture
def configs(write, tiny_config):
    return [write(tiny_config(name), f'{name}.py') for name in ('student', 'teacher')]


def test_the_layers_of_a_detector_are_listed(tool, configs):
    status, out, _ = tool('list_layers', configs[0], '--shape', '128', '160')
    assert status == 0
    assert 'FasterRCNN: 128 × 160 pixels' in out
    (row,) = [line for line in out.splitlines() if 'backbone.inception_4b' in line]
    assert row.split('|')[3:5] == ['         8 × 10 ', '     16 ']
    assert 'inception_4b.' not in out


def test_all_layers_are_listed_by_asking(tool, configs):
    assert (
        'backbone.inception_4b.' in tool('list_layers', configs[0], '--all', '--shape', 64, 64)[1]
    )


def test_two_detectors_stand_side_by_side(tool, configs):
    status, out, _ = tool('list_layers', *configs, '--shape', '128', '160')
    assert status == 0
    (row,) = [line for line in out.splitlines() if 'backbone.inception_4b' in line]
    assert row.count('backbone.inception_4b') == 2
    assert row.split('|')[6].strip() == '='


def test_of_a_distillers_config_it_is_the_student(tool, write, tiny_distiller):
    config = write(tiny_distiller(**{'model.teacher.checkpoint': 'gone.pth'}))
    assert 'backbone.inception_4b' in tool('list_layers', config, '--shape', 64, 64)[1]


def test_without_a_backbone_by_that_name_all_layers_are_listed(tool, configs, monkeypatch):
    monkeypatch.setattr('nst_det.apis.list_layers.BODY', ())
    monkeypatch.setattr('nst_det.apis.list_layers._blocks', lambda *args: ())
    out = tool('list_layers', configs[0], '--shape', 64, 64)[1]
    assert 'all layers follow' in out
    assert 'backbone.inception_4b.' in out


def test_a_missing_config(tool):
    status, _, err = tool('list_layers', 'nowhere.py')
    assert status == 2
    assert 'there is no config file' in err


def test_a_shape_that_is_none(tool, configs):
    status, _, err = tool('list_layers', configs[0], '--shape', 0, 5)
    assert status == 2
    assert '--shape is [0, 5]' in err

"""Changes to a config from the command line: the rules of mmengine's own option."""

import argparse

import pytest
from mmengine.config import Config, DictAction

from nst_det.cli import add_changes
from nst_det.config.settings import change, check_kinds, parse_changes
from nst_det.errors import UserError

SPELLINGS = [
    ['a.b=1'],
    ['a.b=1.5', 'c=1e-3', 'd=-2', 'e=+3', 'f=0x10'],
    ['a=true', 'b=False', 'c=None', 'd=none'],
    ['a=text', 'b=x=y', 'c==x', 'd=http://host/path?x=1'],
    ['a=1,2,3', 'b=a,b', 'c=1,', 'd=,1'],
    ['a=[1,2,3]', 'b=[1, 2, 3]', 'c=[]', 'd=[a]', 'e=[[1,2],[3,4]]'],
    ['a=(1,2)', 'b=(1, )', 'c=[(1,2),(a,b)]', 'd=()'],
    ['a="[1,2]"', "b='[a, b]'", 'c="1"', "d='true'", 'e="a b c"'],
    ['a=a b c', 'b= 1', 'c=1 ', 'd=a , b'],
    ['model.transfers.0.loss.loss_weight=3', 'model.transfers.0.layer=neck[1]'],
    ['a=1', 'a=2', 'b=3', 'a=4'],
]


@pytest.mark.parametrize('assignments', SPELLINGS, ids=' '.join)
@pytest.mark.parametrize('split', [False, True])
def test_values_are_read_as_by_mmengines_own_option(assignments, split):
    options = ['--cfg-options', *assignments]
    if split:  # the option may be given several times
        options[2:] = ['--cfg-options', *assignments[1:]] if assignments[1:] else []
    mmengines, ours = argparse.ArgumentParser(), argparse.ArgumentParser()
    mmengines.add_argument('--cfg-options', nargs='+', action=DictAction)
    add_changes(ours)
    expected = mmengines.parse_args(options).cfg_options
    read = parse_changes(ours.parse_args(options).cfg_options)
    assert list(read.items()) == list(expected.items())
    assert list(map(type, read.values())) == list(map(type, expected.values()))


def test_without_the_option_there_are_no_changes():
    parser = argparse.ArgumentParser()
    add_changes(parser)
    assert parse_changes(parser.parse_args([]).cfg_options) == {}
    assert parser.parse_args(['--cfg-options', 'a=1']).cfg_options == ['a=1']
    assert parser.parse_args([]).cfg_options == []  # the default is still empty


@pytest.mark.parametrize('text', ['lr', '=', '=1', 'lr='])
def test_a_change_without_key_or_value_is_refused(text, capsys):
    parser = argparse.ArgumentParser()
    add_changes(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', text])
    assert f"'{text}' is not of the form key=value" in capsys.readouterr().err


def test_brackets_that_do_not_match_are_one_clear_line():
    with pytest.raises(UserError, match=r'^--cfg-options: [^\n]*[Bb]rackets[^\n]*$'):
        parse_changes(['a=[1,[2]'])


def test_a_change_reaches_the_config():
    cfg = Config(dict(model=dict(transfers=[dict(layer='a')])))
    change(cfg, ['model.transfers.0.layer=b', 'model.width=0.5'])
    assert cfg.model.to_dict() == dict(transfers=[dict(layer='b')], width=0.5)


def test_a_change_that_nothing_reads_names_its_key():
    cfg = Config(dict(model=dict()))
    with pytest.raises(UserError, match="did you mean 'optim_wrapper'") as error:
        change(cfg, ['optim_wraper.lr=1'])
    assert error.value.option == 'optim_wraper.lr'


def test_a_pure_python_config_of_mmdet_has_no_default_scope():
    check_kinds(Config(dict(model=dict(type='RetinaNet'), default_scope=None)))
    with pytest.raises(UserError, match='default_scope is 3, expected a str'):
        check_kinds(Config(dict(model=dict(type='RetinaNet'), default_scope=3)))

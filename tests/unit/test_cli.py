"""The errors in one line and the options that the tools share."""

import argparse

import pytest
from locations import CONFIGS

from nst_det.cli import add_config_options, check_config_options, check_shape, user_errors
from nst_det.errors import UserError


def ends(error: BaseException, capsys) -> tuple[int, str]:
    """The exit status and the error output of a tool that an error ends."""
    with pytest.raises(SystemExit) as stop, user_errors():
        raise error
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (UserError('give another'), 'give another'),
        (UserError('Original Traceback:\n  a line\nUserError: in a worker\n'), 'in a worker'),
        (OSError(28, 'No space left on device', 'run'), 'run: No space left on device'),
        (AssertionError('the sizes\n differ'), 'the sizes differ'),
        (
            KeyError("'InceptionBM is not in the mmdet::model registry'"),
            "did you mean 'InceptionBN'",
        ),
        (TypeError("A.__init__() got an unexpected keyword argument 'b'"), "A the option 'b'"),
        (TypeError("A.__init__() missing 1 required positional argument: 'b'"), "give A its 'b'"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(error, line, capsys):
    status, err = ends(error, capsys)
    assert status == 2
    assert err.startswith('error: ') and err.count('\n') == 1
    assert line in err


@pytest.mark.parametrize(
    'error', [ValueError('x'), KeyError('x'), TypeError('x'), AssertionError(), OSError('x')]
)
def test_any_other_error_keeps_its_traceback(error):
    with pytest.raises(type(error)) as raised, user_errors():
        raise error
    assert raised.value is error


def test_an_interrupt_ends_with_130_and_no_words(capsys):
    assert ends(KeyboardInterrupt(), capsys) == (130, '')


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    args = parser.parse_args([str(CONFIGS / 'faster_rcnn_nst_voc.py'), *arguments])
    check_config_options(args)
    return args


def test_the_rank_that_torchrun_passes_reaches_mmengine(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', 'to be restored')
    monkeypatch.delenv('LOCAL_RANK')
    parse('--local-rank', '3')
    import os

    assert os.environ['LOCAL_RANK'] == '3'


def test_a_launcher_without_its_processes_is_refused(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UserError, match=r'use tools/dist_train\.sh'):
        parse('--launcher', 'pytorch')


@pytest.mark.parametrize('shape', [[0, 4], [4, -1]])
def test_a_shape_without_pixels_is_refused(shape):
    with pytest.raises(UserError, match='expected two sizes of at least 1'):
        check_shape(shape)
    check_shape([1, 1])

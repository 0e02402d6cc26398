"""Errors that a user can correct."""

import pickle

import pytest

from nst_det.errors import UserError, nearest, one_line, refuse_existing


def test_a_user_error_keeps_its_option_through_a_data_worker():
    error = pickle.loads(pickle.dumps(UserError('degree is 0', 'loss.kernel.degree')))
    assert str(error) == 'degree is 0'
    assert error.option == 'loss.kernel.degree'


def test_a_user_error_about_no_option_has_none():
    assert UserError('there is no file').option is None


def test_an_error_of_many_lines_is_one_line_with_its_class():
    assert one_line(KeyError('a\n  b')) == r"KeyError: 'a\n b'"
    assert one_line(ValueError('a\n\n  b')) == 'ValueError: a b'
    assert one_line(ValueError('a\n\n  b'), with_type=False) == 'a b'


def test_an_error_without_a_message_is_its_class():
    assert one_line(ZeroDivisionError()) == 'ZeroDivisionError'
    assert one_line(ZeroDivisionError(), with_type=False) == 'ZeroDivisionError'


def test_a_misspelled_name_gets_the_nearest_choices():
    assert nearest('LinaerKernel', ['LinearKernel', 'GaussianKernel']) == (
        "did you mean 'LinearKernel' or 'GaussianKernel'?"
    )
    assert nearest('x', ['b', 'a']) == "choose from 'a', 'b'"


def test_an_existing_file_is_refused_with_advice(tmp_path):
    refuse_existing(tmp_path / 'new.py')
    with pytest.raises(UserError, match='exists already: choose another folder'):
        refuse_existing(tmp_path, 'choose another folder')

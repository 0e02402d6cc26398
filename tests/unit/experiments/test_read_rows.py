"""Reading rows: from tables, from plain configs, and from both."""

import os
from pathlib import Path

import pytest

from nst_det.errors import UserError
from nst_det.experiments import read_rows

TABLE = """
row = '{{$ROW:plain}}'
rows = dict(plain=[], kd=['KDLoss'], kd_nst=['KDLoss', 'NSTLoss'])
model = dict(type='Detector', transfers=rows[row])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A table of three rows, and a plain config whose name has a dot."""
    monkeypatch.chdir(tmp_path)
    Path('table.py').write_text(TABLE)
    Path('student-w0.5_4e.py').write_text("model = dict(type='Student')\n")
    return tmp_path


def test_each_row_of_a_table_is_a_config_that_is_no_table():
    rows = read_rows(['table.py'])
    assert {name: list(cfg.model.transfers) for name, cfg in rows.items()} == {
        'plain': [],
        'kd': ['KDLoss'],
        'kd_nst': ['KDLoss', 'NSTLoss'],
    }
    assert 'rows' not in rows['kd']


def test_a_plain_config_is_a_row_called_like_its_file():
    rows = read_rows(['student-w0.5_4e.py', 'table.py'])
    assert list(rows) == ['student-w0.5_4e', 'plain', 'kd', 'kd_nst']
    assert rows['student-w0.5_4e'].model.type == 'Student'


def test_the_wanted_rows_are_read_in_the_order_of_the_table():
    rows = read_rows(['table.py', 'student-w0.5_4e.py'], ['student-w0.5_4e', 'kd_nst', 'plain'])
    assert list(rows) == ['plain', 'kd_nst', 'student-w0.5_4e']


@pytest.mark.parametrize('before', [None, 'kd'])
def test_the_environment_is_left_as_it_was(monkeypatch, capfd, before):
    monkeypatch.delenv('ROW', raising=False)
    if before:
        monkeypatch.setenv('ROW', before)
    assert list(read_rows(['table.py'])['kd_nst'].model.transfers) == ['KDLoss', 'NSTLoss']
    assert os.environ.get('ROW') == before


@pytest.mark.parametrize(
    ('configs', 'wanted', 'message'),
    [
        (['table.py'], ['kd', 'kd_nts'], "--rows kd_nts is no row .*: did you mean 'kd_nst'"),
        (['table.py', 'table.py'], [], 'two rows are called plain'),
        (['table.py', 'gone.py'], [], 'there is no config file'),
    ],
)
def test_a_mistake_is_one_line(configs, wanted, message):
    with pytest.raises(UserError, match=f'^[^\n]*{message}[^\n]*$'):
        read_rows(configs, wanted)


def test_a_table_that_does_not_read_its_row_is_refused():
    Path('table.py').write_text(TABLE.replace("'{{$ROW:plain}}'", "'plain'"))
    with pytest.raises(UserError, match=r"needs the line row = '\{\{\$ROW:plain\}\}'"):
        read_rows(['table.py'])

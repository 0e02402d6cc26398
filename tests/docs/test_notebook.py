"""The notebook runs, and reads well where nobody runs it."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from doc_blocks import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / 'examples' / 'distil_a_detector.ipynb'


@pytest.fixture(scope='module')
def notebook():
    """The notebook as it is in the repository."""
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def printed(notebook) -> str:
    """All text that its cells printed."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return ''.join(output.get('text', '') for output in outputs)


def pictures(notebook) -> int:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return sum('image/jpeg' in output.get('data', {}) for output in outputs)


def test_it_is_small():
    assert NOTEBOOK.stat().st_size < 300_000


def test_it_was_run_from_its_first_cell_to_its_last(notebook):
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert 'mmd2_backbone_inception_4b' in printed(notebook)
    assert pictures(notebook) == 5


def test_its_links_lead_to_files_that_are_there(notebook):
    text = ''.join(cell.source for cell in notebook.cells if cell.cell_type == 'markdown')
    links = re.findall(r'\]\(([^):]+)\)', text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).exists(), link


def test_it_says_nothing_of_the_machine_it_ran_on(notebook):
    said = printed(notebook)
    assert str(Path.home()) not in said and '/tmp' not in said


@pytest.mark.slow
def test_it_runs(notebook, tmp_path, monkeypatch):
    for name in ('configs', 'tools', 'nst_det'):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'examples').mkdir()
    shutil.copy(NOTEBOOK, tmp_path / 'examples')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    folder = dict(metadata=dict(path=str(tmp_path / 'examples')))
    client = NotebookClient(
        nbformat.read(NOTEBOOK, 4), timeout=1800, kernel_name='python3', resources=folder
    )
    done = client.execute()
    assert 'mmd2_backbone_inception_4b' in printed(done)
    assert pictures(done) == 5

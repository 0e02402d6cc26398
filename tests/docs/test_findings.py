"""The list of findings is complete, and so are the names of findings in the pages."""

import re
import subprocess

import pytest
from locations import DOCS, ROOT

FOLDER = ROOT / 'findings'
FINDINGS = {file.stem for file in FOLDER.glob('[!_]*.sh')} - {'run_all'}


def test_the_list_has_one_line_for_each_finding():
    listed = re.findall(r'^\| \[(\w+)\]\(\1\.sh\) \|', (FOLDER / 'README.md').read_text(), re.M)
    assert sorted(listed) == sorted(FINDINGS)
    assert len(listed) > 40


def test_the_page_of_surprises_names_findings_that_are_there():
    named = re.findall(r'`([a-z]\w+_\w+)`', (DOCS / 'surprises.md').read_text())
    findings = {name for name in named if name.split('_')[0] in {n.split('_')[0] for n in FINDINGS}}
    assert len(findings) > 30
    assert findings - FINDINGS == set()


@pytest.mark.parametrize('name', sorted(FINDINGS))
def test_a_finding_says_what_happens_in_which_version_and_pins_it(name):
    text = (FOLDER / f'{name}.sh').read_text()
    assert 'One would guess:' in text
    assert re.search(r'What happens.*\d\.\d', text)
    assert re.search(r'^install (\$MMDET|\$TORCH|.*==)', text, re.M)
    subprocess.run(['bash', '-n', FOLDER / f'{name}.sh'], check=True)

"""What holds of every tool, each in a process of its own, as a user starts it."""

import subprocess
import sys

import pytest
from locations import TOOLS

SCRIPTS = sorted(TOOLS.glob('*.py'))


@pytest.fixture(scope='module')
def helps():
    """What ``--help`` prints, of all tools at a time."""
    started = {
        tool.name: subprocess.Popen(
            [sys.executable, str(tool), '--help'],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for tool in SCRIPTS
    }
    return {name: (*process.communicate(), process.returncode) for name, process in started.items()}


@pytest.mark.parametrize('name', [tool.name for tool in SCRIPTS])
def test_a_tool_says_what_it_is_for(name, helps):
    out, err, status = helps[name]
    assert status == 0, err
    assert out.startswith('usage: ')

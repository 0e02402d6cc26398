"""The package as it is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

import nst_det

ROOT = Path(__file__).resolve().parents[1]


def test_importing_it_without_its_stack_says_what_to_install():
    # -S leaves out site-packages, and so everything that is installed.
    script = f'import sys; sys.path.insert(0, {str(ROOT)!r}); import nst_det'
    done = subprocess.run([sys.executable, '-S', '-c', script], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('ImportError: nst_det needs torch, torchvision, mmengine, mmcv, mmdet')
    assert 'pip install torch torchvision mmengine==' in last


def test_installing_it_never_brings_an_mmcv_over_a_compiled_one():
    tomllib = pytest.importorskip('tomllib', reason='Python 3.10 has no tomllib')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    assert not any(name.startswith('mm') for name in project['dependencies'])


def test_it_has_a_version():
    assert nst_det.__version__.count('.') == 2

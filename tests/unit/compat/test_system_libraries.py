"""What a bare machine lacks is named in one line: before the set-up, and instead of a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from locations import ROOT

from nst_det.compat import system_libraries

SCRIPT = ROOT / 'nst_det' / 'compat' / 'system_libraries.py'
APT = '; on Debian and Ubuntu: apt-get update && apt-get install '

# A machine without one of the libraries, on which OpenCV fails as it does there.
WITHOUT_A_LIBRARY = """
import ctypes, sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == 'cv2' and 'nst_det.compat' in sys.modules:
            raise ImportError('libxcb.so.1: cannot open shared object file: No such file')

sys.meta_path.insert(0, Missing())
load = ctypes.CDLL

def load_other(name, *args, **options):
    if name == 'libxcb.so.1':
        raise OSError(name)
    return load(name, *args, **options)

ctypes.CDLL = load_other
"""


@pytest.fixture
def without(monkeypatch):
    """Hides libraries: ``without('libxcb.so.1')``."""

    def hide(*libraries):
        monkeypatch.setattr(system_libraries, '_loads', lambda library: library not in libraries)

    return hide


def test_the_libraries_are_those_that_this_opencv_loads():
    """In a process of its own, because others load some of them too."""
    code = 'import cv2; print(open("/proc/self/maps").read())'
    if not Path('/proc/self/maps').exists():
        pytest.skip('only Linux lists the libraries of a process')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    loaded = {Path(line.split()[-1]).name for line in done.stdout.splitlines() if '/' in line}
    if not any(name.startswith('libQt') for name in loaded):
        pytest.skip('this OpenCV is the one without windows, which needs none of them')
    for library in system_libraries.PACKAGES:
        assert any(name.startswith(library) for name in loaded), library


def test_a_set_up_that_lacks_nothing_begins_without_a_word():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, '')


def test_missing_libraries_are_named_with_their_packages(without):
    without('libGL.so.1', 'libxcb.so.1')
    line = f'this machine lacks libGL.so.1, libxcb.so.1{APT}libgl1 libxcb1'
    line += '; without root: make HEADLESS=1'
    assert system_libraries.missing_for_setup() == line


def test_a_python_without_venv_is_told_its_package(without, monkeypatch):
    without()
    monkeypatch.setattr(system_libraries, 'find_spec', lambda name: None)
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    line = f'this machine lacks the module venv of {version}{APT}{version}-venv'
    assert system_libraries.missing_for_setup() == line


def test_the_set_up_stops_with_the_line_before_it_downloads(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(WITHOUT_A_LIBRARY)
    done = subprocess.run(
        ['make', '-C', ROOT, f'VENV={tmp_path}/venv', f'PYTHON={sys.executable}', 'setup'],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    )
    first = done.stderr.splitlines()[0]
    assert first.startswith(f'error: this machine lacks libxcb.so.1{APT}libxcb1; without root')
    assert done.returncode == 2
    assert 'setting up' not in done.stdout
    assert not (tmp_path / 'venv').exists()


@pytest.mark.parametrize('tool', ['list_layers demo.py', 'mmdet print_config demo.py'])
def test_a_tool_without_a_library_of_opencv_prints_one_line(tmp_path, tool):
    (tmp_path / 'sitecustomize.py').write_text(WITHOUT_A_LIBRARY)
    (tmp_path / 'demo.py').write_text('model = dict()\n')
    done = subprocess.run(
        [sys.executable, '-m', 'nst_det', *tool.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{tmp_path}'},
    )
    line = f'error: OpenCV cannot be loaded: this machine lacks libxcb.so.1{APT}libxcb1'
    line += '; without root: pip install opencv-python-headless\n'
    assert (done.returncode, done.stderr) == (2, line)


def test_an_opencv_that_fails_otherwise_is_reported_with_its_own_words(monkeypatch, without):
    without()
    monkeypatch.setitem(sys.modules, 'cv2', None)
    with pytest.raises(ImportError, match='OpenCV cannot be loaded: import of cv2 halted'):
        system_libraries.apply()


@pytest.mark.parametrize('headless', [[], ['HEADLESS=1']])
def test_the_other_opencv_is_installed_on_request_alone_and_after_that_of_the_requirements(
    tmp_path, headless
):
    done = subprocess.run(
        ['make', '-C', ROOT, '--dry-run', f'VENV={tmp_path}/venv', *headless, 'setup'],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    installs = [line.split()[-1] for line in lines if 'pip install' in line]
    wanted = ['requirements.txt', "'.[test,docs]'"]
    if headless:
        wanted.insert(1, 'opencv-python-headless')
    assert installs == wanted
    assert any('system_libraries.py' in line for line in lines) == (not headless)


def test_the_page_for_a_fresh_machine_names_all_packages():
    page = (ROOT / 'docs' / 'get_started.md').read_text()
    (line,) = (line for line in page.splitlines() if 'apt-get install' in line)
    assert set(system_libraries.PACKAGES.values()) <= set(line.split())

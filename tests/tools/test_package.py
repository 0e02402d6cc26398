"""The package as it is installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from locations import CONFIGS, DEMO, ROOT

import nst_det
from nst_det.apis.build import build_detector
from nst_det.apis.export_onnx import make_onnx
from nst_det.datasets import SHAPE_CLASSES

# The command `nst_det train`, in a process that prints afterwards what it ran on.
TRAIN = """
import os, sys
import nst_det_tool
sys.argv = ['nst_det', 'train', 'ours.py', '--work-dir', 'ours']
nst_det_tool.main()
import nst_det, mmdet
print('Trained')
print(nst_det.__file__)
print(os.path.dirname(mmdet.__file__) + '/.mim/tools/train.py')
nst_det.show_versions()
"""

# Two lines that choose, and what makes it seconds.
OWN_CONFIG = """\
_base_ = '{configs}{student}'
model = dict(teacher=dict(config='nst_det::{teacher}', checkpoint='random'))
train_dataloader = dict(dataset=dict(data_root='{data}/', indices=4))
val_dataloader = test_dataloader = dict(dataset=dict(data_root='{data}/', indices=4))
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """The wheel that is made of the source distribution."""
    folder = tmp_path_factory.mktemp('source')
    for name in ('nst_det', 'configs', 'tools'):
        shutil.copytree(
            ROOT / name,
            folder / name,
            symlinks=True,
            ignore=shutil.ignore_patterns('__pycache__'),
        )
    for name in ('nst_det_tool.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', folder / 'dist', folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((folder / 'dist').glob('*.whl'))


class Environment:
    """A virtual environment, used from a folder of its own with no checkout in sight."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / 'venv')
        self.bin = folder / 'venv' / 'bin'
        self.folder = folder / 'elsewhere'
        self.folder.mkdir()

    def install(self, *arguments: object) -> None:
        pip = [sys.executable, '-m', 'pip', '--python', self.bin / 'python', 'install', '-q']
        subprocess.run([*pip, *map(str, arguments)], check=True)

    def __call__(self, program: str, *arguments: object) -> str:
        """Run a program of the environment; gives its output."""
        env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        done = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Environment:
    """An environment with the wheel, which sees the other packages of this one."""
    environment = Environment(tmp_path_factory.mktemp('installed'))
    environment.install('--no-deps', '--no-index', '--ignore-installed', wheel)
    (site_packages,) = (environment.bin.parent / 'lib').glob('python*/site-packages')
    (site_packages / 'others.pth').write_text(sysconfig.get_paths()['purelib'])
    return environment


def check_installation(environment: Environment, shapes: Path) -> None:
    """It says what it runs on, and a config of a few lines trains by mmdet's own tool and ours."""
    names = dict(
        student=DEMO['nst_student'].relative_to(CONFIGS),
        teacher=DEMO['teacher'].relative_to(CONFIGS),
    )
    (package,) = (environment.bin.parent / 'lib').glob('python*/site-packages/nst_det')
    # mmdet's own tools read _base_ before they import nst_det, and so need the path.
    for name, configs in [('ours', 'nst_det::'), ('mmdets', f'{package}/.mim/configs/')]:
        text = OWN_CONFIG.format(configs=configs, data=shapes, **names)
        (environment.folder / f'{name}.py').write_text(text)
    assert 'train' in environment('nst_det', '--help')
    lines = environment('python', '-c', TRAIN).splitlines()
    file, train, *versions = lines[lines.index('Trained') + 1 :]
    assert Path(file).is_relative_to(environment.bin.parent)
    assert f'nst_det      {nst_det.__version__}' in versions
    environment('python', train, 'mmdets.py', '--work-dir', 'mmdets')
    for name in ('mmdets', 'ours'):
        assert (environment.folder / name / 'epoch_1.pth').is_file()


def test_a_config_of_the_wheel_trains_by_mmdets_own_tool_and_by_ours(installed, shapes):
    check_installation(installed, shapes)


@pytest.mark.slow
def test_a_bare_environment_gets_all_that_is_needed_by_pip(wheel, shapes, tmp_path):
    environment = Environment(tmp_path)
    environment.install('--only-binary', ':all:', f'{wheel}[mmdet,report]')
    check_installation(environment, shapes)


@pytest.mark.slow
def test_a_bare_environment_detects_with_an_exported_model_without_torch(
    wheel, tiny_configs, shapes, tmp_path
):
    detector = build_detector(tiny_configs(tmp_path, 'student'))
    model = make_onnx(detector, tiny_configs(tmp_path, 'student'), SHAPE_CLASSES)
    environment = Environment(tmp_path)
    (environment.folder / 'model.onnx').write_bytes(model.content)
    environment.install('--only-binary', ':all:', f'{wheel}[runtime]')
    image = min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    options = ['--json', 'found.json', '-o', 'pictures', '--score-thr', '0']
    assert str(image) in environment('nst_det', 'predict', 'model.onnx', image, *options)
    assert (environment.folder / 'found.json').is_file()
    script = 'import time, sys; before = time.perf_counter(); import nst_det; '
    script += 'from nst_det.runtime import detections, output, session; '
    script += 'print(time.perf_counter() - before, "torch" in sys.modules)'
    seconds, with_torch = environment('python', '-c', script).split()
    assert float(seconds) < 0.5
    assert with_torch == 'False'


def test_every_config_and_tool_of_the_checkout_is_in_the_wheel(installed):
    (package,) = (installed.bin.parent / 'lib').glob('python*/site-packages/nst_det')
    for folder in ('configs', 'tools'):
        shipped, own = package / '.mim' / folder, ROOT / folder
        files = {one.relative_to(own) for one in own.rglob('*') if one.suffix in ('.py', '.sh')}
        found = {one.relative_to(shipped) for one in shipped.rglob('*') if one.is_file()}
        assert {one for one in found if one.suffix != '.pyc'} == files  # pip compiles them


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


def test_it_has_a_version_and_the_changelog_says_what_is_in_it():
    assert nst_det.__version__.count('.') == 2
    assert f'\n## {nst_det.__version__}' in (ROOT / 'CHANGELOG.md').read_text()

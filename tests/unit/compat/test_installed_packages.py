"""Configs of mmdet are found without `pkg_resources`, which today's setuptools lacks."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mmcv
import mmdet  # noqa: F401  whose module a test looks up
import pytest
from locations import ROOT

from nst_det.compat.installed_packages import get_installed_path, is_installed, package2module

HIDDEN = """
import sys
sys.modules['pkg_resources'] = None  # so importing it fails, as with setuptools 82
import nst_det
"""

INHERIT = """
from mmengine.config import Config
config = Config.fromfile('child.py')
print(config.model.type, config.model.backbone.depth)
"""

LAZY = """
from mmengine.config import Config
print(Config.fromfile('lazy.py').depth)
"""

HUB = """
from mmengine.hub import get_config
print(get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model.type)
"""


def run_without_pkg_resources(code: str, folder: Path) -> subprocess.CompletedProcess:
    """Run code in a process that cannot import `pkg_resources`."""
    return subprocess.run(
        [sys.executable, '-c', HIDDEN + code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )


def test_configs_of_packages_are_inherited_in_both_styles_and_found_by_the_hub(tmp_path):
    (tmp_path / 'child.py').write_text(
        "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
        'model = dict(backbone=dict(depth=18))\n'
    )
    (tmp_path / 'our_configs').mkdir()
    (tmp_path / 'our_configs' / '__init__.py').touch()
    (tmp_path / 'our_configs' / 'base.py').write_text('depth = 50\n')
    (tmp_path / 'lazy.py').write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from our_configs.base import *\n'
    )
    done = run_without_pkg_resources(INHERIT + LAZY + HUB, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['RetinaNet 18', '50', 'FasterRCNN']


def test_a_package_that_is_missing_is_named(tmp_path):
    (tmp_path / 'child.py').write_text("_base_ = 'mmpose::some/config.py'\n")
    done = run_without_pkg_resources(INHERIT, tmp_path)
    assert 'ModuleNotFoundError: mmpose is not installed' in done.stderr


@pytest.mark.parametrize('package', ['mmdet', 'nst_det'])
def test_the_folder_is_that_of_the_module(package):
    assert is_installed(package)
    assert Path(get_installed_path(package)) == Path(sys.modules[package].__file__).parent


def test_a_package_is_found_by_the_name_that_pip_knows():
    if not is_installed('mmcv-lite'):
        pytest.skip('mmcv-lite, whose two names differ, is not installed')
    assert package2module('mmcv-lite') == 'mmcv'
    assert Path(get_installed_path('mmcv-lite')) == Path(mmcv.__file__).parent


def test_a_module_without_metadata_is_found(tmp_path, monkeypatch):
    (tmp_path / 'loose_module').mkdir()
    (tmp_path / 'loose_module' / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert is_installed('loose_module')
    assert get_installed_path('loose_module') == str(tmp_path / 'loose_module')


def test_a_namespace_package_counts_as_missing(tmp_path, monkeypatch):
    (tmp_path / 'loose_namespace').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed('loose_namespace')
    with pytest.raises(RuntimeError, match='namespace'):
        get_installed_path('loose_namespace')


def test_what_is_missing_is_missing():
    assert not is_installed('no_such_package')
    with pytest.raises(PackageNotFoundError):
        get_installed_path('no_such_package')


def test_mmdet_lies_where_its_configs_are():
    assert (Path(get_installed_path('mmdet')) / '.mim' / 'configs').is_dir()

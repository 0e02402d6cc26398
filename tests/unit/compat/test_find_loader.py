"""Trainings start on Python 3.14, which has no `pkgutil.find_loader`."""

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader

import pytest
from locations import ROOT

from nst_det.compat.find_loader import find_loader

WITHOUT = """
import pkgutil
vars(pkgutil).pop('find_loader', None)
import nst_det
from mmcv.utils.ext_loader import check_ops_exist
from mmengine.model import revert_sync_batchnorm
from torch import nn
print(type(revert_sync_batchnorm(nn.SyncBatchNorm(2))).__name__, check_ops_exist())
print(hasattr(pkgutil, 'find_loader'))
"""


def test_a_runner_and_mmcv_do_without_the_name_that_python_3_14_lacks():
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.stdout == '_BatchNormXd True\nFalse\n', done.stderr


@pytest.mark.parametrize('name', ['no_such_module', 'mmengine.no_such_module'])
def test_a_module_that_is_missing_has_no_loader(name):
    assert find_loader(name) is None


def test_a_module_has_the_loader_that_its_spec_names():
    assert isinstance(find_loader('mmengine.runner'), SourceFileLoader)

import shutil

import pytest

from nst_det.datasets import make_shapes_devkit


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A devkit of 12 small pictures, not to be changed."""
    return make_shapes_devkit(tmp_path_factory.mktemp('shapes'), 8, 4, image_size=64, seed=1)


@pytest.fixture
def devkit(shapes, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(shapes, tmp_path / 'data' / 'VOCdevkit')

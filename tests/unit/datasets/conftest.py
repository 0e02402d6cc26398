import shutil

import pytest


@pytest.fixture
def devkit(shapes, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(shapes, tmp_path / 'data' / 'VOCdevkit')

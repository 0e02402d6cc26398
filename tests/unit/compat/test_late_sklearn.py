"""scikit-learn is imported when mmdet uses it, and not before."""

import subprocess
import sys

import pytest

pytest.importorskip('sklearn')

USE = """
import sys
import nst_det
assert 'sklearn' not in sys.modules
import numpy as np
import torch
from mmdet.models.dense_heads.paa_head import PAAHead, skm
from mmdet.models.task_modules.tracking.interpolation import InterpolateTracklets

mixture = skm.GaussianMixture(2, random_state=0).fit(np.array([[0.0], [0.1], [5.0], [5.1]]))
print(sorted(mixture.means_.round(2).ravel().tolist()))
assert 'sklearn.mixture' in sys.modules

frames = np.array([0.0, 1, 2, 6, 7, 8])
track = np.stack([frames, 0 * frames, *[frames + i for i in range(4)], 0 * frames + 1], 1)
smoothed = InterpolateTracklets(use_gsi=True).forward(track)
print(smoothed.shape, bool(np.isfinite(smoothed).all()))

import sklearn
print(sklearn.__name__)
"""


def test_mmdets_parts_that_need_it_import_it_themselves():
    done = subprocess.run([sys.executable, '-c', USE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['[0.05, 5.05]', '(9, 7) True', 'sklearn']


@pytest.mark.parametrize('first', ['sklearn', 'mmdet.models'])
def test_it_changes_nothing_that_is_imported_already(first, monkeypatch):
    from nst_det.compat import late_sklearn

    monkeypatch.setitem(sys.modules, first, sys.modules.get(first, object()))
    before = dict(sys.modules)
    late_sklearn.apply()
    assert sys.modules == before

"""mmpretrain beside transformers 5, whose models it cannot import."""

import os
import subprocess
import sys

import pytest


def test_classifiers_are_there_beside_transformers_5_and_multimodal_models_are_not(tmp_path):
    pytest.importorskip('mmpretrain', reason='no mmpretrain')
    pytest.importorskip('pycocotools', reason='no pycocotools, which the multimodal models need')
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers/__init__.py').write_text('PreTrainedModel = None\n')
    metadata = tmp_path / 'transformers-5.24.0.dist-info'
    metadata.mkdir()
    (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 5.24.0')
    code = (
        'import nst_det\n'
        'from mmpretrain.models import ImageClassifier\n'
        'from mmpretrain.registry import MODELS\n'
        'assert "NSTDistiller" in MODELS.module_dict\n'
        'try:\n'
        '    MODELS.build(dict(type="BlipVQA"))\n'
        'except ImportError as error:\n'
        '    assert "multi-modal dependencies" in str(error)\n'
        '    print("refused")\n'
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, 'PYTHONPATH': path}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1:] == ['refused']

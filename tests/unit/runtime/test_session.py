"""Running exported models in ONNX Runtime and in OpenVINO."""

import numpy as np
import onnx
import pytest
from PIL import Image
from tiny_detectors import CLASSES, tiny_detector

from nst_det.errors import UserError
from nst_det.export.info import model_info
from nst_det.export.onnx_graph import record_graph, with_info
from nst_det.export.openvino_model import write_openvino
from nst_det.export.verify import made_images, verify
from nst_det.runtime.detections import detect
from nst_det.runtime.session import OnnxSession, OpenVinoSession, open_session


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """A detector, the ONNX file of it, its description and its limits."""
    detector, cfg = tiny_detector('Mask R-CNN')
    graph, module = record_graph(detector)
    info = model_info(module, cfg, CLASSES)
    file = tmp_path_factory.mktemp('session') / 'model.onnx'
    file.write_bytes(with_info(graph, info))
    return detector, file, info, module.limits


def test_openvino_detects_the_same_with_masks_and_batches(model, tmp_path):
    pytest.importorskip('openvino', reason='OpenVINO is not installed')
    detector, file, info, limits = model
    write_openvino(file.read_bytes(), info, tmp_path / 'openvino')
    session = open_session(tmp_path / 'openvino', threads=1)
    assert isinstance(session, OpenVinoSession)
    assert session.info == info
    found = verify(detector, session, made_images(info), limits)
    assert not found.differs, found.problem
    assert found.kinds['noise, a batch of 2'].matched


def test_results_come_in_the_order_of_the_files_whatever_their_sizes(model, tmp_path):
    session = open_session(model[1], threads=1)
    assert isinstance(session, OnnxSession)
    rng = np.random.default_rng(0)
    files = []
    for i, size in enumerate([(64, 48), (90, 120), (64, 48), (48, 64)]):
        files.append(tmp_path / f'{i}.png')
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(files[-1])
    alone = list(detect(session, files))
    together = list(detect(session, files, batch_size=4))
    assert [found.file for found in together] == files
    for one, other in zip(alone, together, strict=True):
        assert one.size == other.size
        assert one.masks.shape == (len(one.scores), *one.size)
        assert one.scores.tolist() == pytest.approx(other.scores.tolist(), abs=1e-5)
        assert (one.boxes[:, 2] <= one.size[1] + 1e-3).all()
    assert sum(len(found.scores) for found in alone)


def test_what_is_no_model_of_ours_is_one_line(model, tmp_path):
    with pytest.raises(UserError, match=r'there is no model .*gone\.onnx'):
        open_session(tmp_path / 'gone.onnx')
    (tmp_path / 'text.onnx').write_text('no model')
    with pytest.raises(UserError, match=r'text\.onnx cannot be loaded'):
        open_session(tmp_path / 'text.onnx')
    foreign = onnx.load(model[1])
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / 'foreign.onnx')
    with pytest.raises(UserError, match='does not tell its classes and its preprocessing'):
        open_session(tmp_path / 'foreign.onnx')


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r'expected a \.onnx file, a checkpoint, or the folder'):
        open_session(tmp_path)

"""INT8 by ONNX Runtime's tools."""

import numpy as np
import onnx
import torch
from tiny_detectors import CLASSES, tiny_detector

from nst_det.config.plain import plain_config
from nst_det.export.info import model_info
from nst_det.export.onnx_graph import record_graph, with_info
from nst_det.export.quantize import calibration_images, last_layers, quantize
from nst_det.export.verify import predict, run
from nst_det.runtime.session import OnnxSession


def test_convolutions_become_int8_and_the_last_ones_stay():
    detector, cfg = tiny_detector('Faster R-CNN')
    graph, module = record_graph(detector)
    info = model_info(module, cfg, CLASSES)
    model = onnx.load_from_string(graph)
    kept = last_layers(model)
    assert len(kept) >= 4  # RPN scores and deltas, classes and boxes, on each level
    assert all(any(part in name for part in ('rpn_cls', 'rpn_reg', 'fc_cls', 'fc_reg'))
               for name in kept)  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    images = [255 * torch.rand(1, 3, 96, 128, generator=generator) for _ in range(3)]
    content = quantize(with_info(graph, info), [image.numpy() for image in images])
    quantized = onnx.load_from_string(content)
    operators = [node.op_type for node in quantized.graph.node]
    assert operators.count('QuantizeLinear') > 10
    int8 = {tensor.name for tensor in quantized.graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8}  # fmt: skip
    assert len(int8) > 10
    session = OnnxSession(content, threads=1)
    assert session.info == info
    (expected,), (given,) = predict(detector, images[0]), run(session, images[0])
    assert len(given.scores)
    assert np.isfinite(given.boxes).all()
    # A coarse check: the best score is about the same.
    assert abs(given.scores.max() - expected.scores.max()) < 0.2


def test_it_is_calibrated_on_training_images_as_the_test_pipeline_makes_them(tiny_config):
    images = list(calibration_images(plain_config(tiny_config('student')), 3))
    assert len(images) == 3
    assert all(image.shape == (1, 3, 64, 64) and image.dtype == np.float32 for image in images)
    assert len(list(calibration_images(plain_config(tiny_config('student')), 100))) == 8

#!/usr/bin/env bash
# One ONNX graph with NonMaxSuppression, in ONNX Runtime and in OpenVINO, and two boxes whose
# overlap is exactly the threshold 0.5.
#
# One would guess: both keep both, for ONNX says that boxes above the threshold are removed.
# What happens (OpenVINO 2026.4.1, ONNX Runtime 1.32.0, CPU): ONNX Runtime keeps both, OpenVINO one.
# 0.5 has an exact float, so rounding has no part in it.
source "$(dirname "$0")/_common.sh"
install openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
check 'kept: ONNX Runtime 2, OpenVINO 1' <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


import openvino

boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, 5]]], np.float32)
scores = np.array([[[0.9, 0.8]]], np.float32)
graph = helper.make_graph(
    [helper.make_node('NonMaxSuppression', ['boxes', 'scores', 'most', 'threshold'], ['kept'])],
    'nms',
    [
        helper.make_tensor_value_info('boxes', TensorProto.FLOAT, boxes.shape),
        helper.make_tensor_value_info('scores', TensorProto.FLOAT, scores.shape),
    ],
    [helper.make_tensor_value_info('kept', TensorProto.INT64, None)],
    [
        numpy_helper.from_array(np.array([10]), 'most'),
        numpy_helper.from_array(np.array([0.5], np.float32), 'threshold'),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
onnx.save(model, 'nms.onnx')
feeds = dict(boxes=boxes, scores=scores)
by_onnxruntime = onnxruntime.InferenceSession('nms.onnx').run(None, feeds)[0]
by_openvino = openvino.Core().compile_model('nms.onnx', 'CPU')(feeds)[0]
print(f'kept: ONNX Runtime {len(by_onnxruntime)}, OpenVINO {len(by_openvino)}')
PYTHON

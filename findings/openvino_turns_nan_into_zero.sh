#!/usr/bin/env bash
# A NaN in a network, in ONNX Runtime and in OpenVINO.
#
# One would guess: it comes out as NaN, as in torch, so that a broken model shows itself.
# What happens (OpenVINO 2026.4.1, ONNX Runtime 1.32.0, CPU of the x86-64 kind): in OpenVINO a ReLU
# or a clipping turns NaN into 0, and a maximum passes over it. A broken model detects nothing, or
# something.
source "$(dirname "$0")/_common.sh"
install openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
check 'Relu: ONNX Runtime nan, OpenVINO 0.0
ReduceMax: ONNX Runtime nan, OpenVINO 2.0' <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


import openvino

x = np.array([np.nan, 1, 2], np.float32)
for operator, options in ('Relu', {}), ('ReduceMax', dict(keepdims=0)):
    graph = helper.make_graph(
        [helper.make_node(operator, ['x'], ['y'], **options)],
        'operator',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.save(model, 'operator.onnx')
    by_onnxruntime = onnxruntime.InferenceSession('operator.onnx').run(None, dict(x=x))[0]
    by_openvino = openvino.Core().compile_model('operator.onnx', 'CPU')(dict(x=x))[0]
    print(
        f'{operator}: ONNX Runtime {by_onnxruntime.ravel()[0]}, OpenVINO {by_openvino.ravel()[0]}'
    )
PYTHON

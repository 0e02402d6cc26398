#!/usr/bin/env bash
# openvino.save_model(model, 'model.xml') of a network in float32.
#
# One would guess: the file holds the model.
# What happens (OpenVINO 2026.4.1): compress_to_fp16=True is the default, so that the weights are
# rounded to float16. Weights below 6e-8 become 0, and those above 65504 become 65504.
source "$(dirname "$0")/_common.sh"
install openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
check 'before [0.33333334, 1e-08, 70000.0], after [0.33325195, 0.0, 65504.0]' <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


import openvino

weights = np.array([1 / 3, 1e-8, 70000], np.float32)
graph = helper.make_graph(
    [helper.make_node('Mul', ['x', 'weights'], ['y'])],
    'product',
    [helper.make_tensor_value_info('x', TensorProto.FLOAT, weights.shape)],
    [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
    [numpy_helper.from_array(weights, 'weights')],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
onnx.save(model, 'model.onnx')
model = openvino.convert_model('model.onnx')
openvino.save_model(model, 'model.xml')
products = []
for saved in model, 'model.xml':
    compiled = openvino.Core().compile_model(saved, 'CPU', dict(INFERENCE_PRECISION_HINT='f32'))
    products.append([float(str(value)) for value in compiled(np.ones(3, np.float32))[0]])
print(f'before {products[0]}, after {products[1]}')
PYTHON

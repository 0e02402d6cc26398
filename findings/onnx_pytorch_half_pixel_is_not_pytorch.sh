#!/usr/bin/env bash
# Resize of ONNX with coordinate_transformation_mode='pytorch_half_pixel', to a side of 1.
#
# One would guess: what torch's interpolate gives, after which the mode is named.
# What happens (ONNX opset 17, ONNX Runtime 1.32.0, torch 2.14.1): the mode gives the first value,
# torch the middle of all. 'half_pixel' is what torch does.
source "$(dirname "$0")/_common.sh"
install $TORCH
check '0 … 5 resized to one value: torch 2.5, pytorch_half_pixel 0.0, half_pixel 2.5' <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


import torch

x = np.arange(6, dtype=np.float32).reshape(1, 1, 1, 6)
values = [torch.nn.functional.interpolate(torch.from_numpy(x), size=(1, 1), mode='bilinear').item()]
for mode in 'pytorch_half_pixel', 'half_pixel':
    node = helper.make_node(
        'Resize', ['x', '', '', 'size'], ['y'], mode='linear', coordinate_transformation_mode=mode
    )
    graph = helper.make_graph(
        [node],
        'resize',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1, 1, 1, 1]), 'size')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values.append(session.run(None, dict(x=x))[0].item())
print(
    f'0 … 5 resized to one value: torch {values[0]}, pytorch_half_pixel {values[1]}, '
    f'half_pixel {values[2]}'
)
PYTHON

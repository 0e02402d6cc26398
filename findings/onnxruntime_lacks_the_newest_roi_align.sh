#!/usr/bin/env bash
# RoIAlign in an ONNX graph of opset 22, which a detector has if it is exported with today's opset.
#
# One would guess: the operator is older than ten opsets, and any opset will do.
# What happens (onnxruntime 1.32.0, CPU): opset 16 runs; for opset 22, which changed nothing but the
# types that are allowed, there is no implementation, and the session is refused.
source "$(dirname "$0")/_common.sh"
install openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
check 'opset 16: [0.0, 1.0, 4.0, 5.0]
opset 22: NotImplemented' <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


onnxruntime.set_default_logger_severity(4)
feeds = dict(
    x=np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4),
    boxes=np.array([[0, 0, 2, 2]], np.float32),
    images=np.zeros(1, np.int64),
)
for opset in 16, 22:
    node = helper.make_node(
        'RoiAlign', list(feeds), ['y'], output_height=2, output_width=2, sampling_ratio=1
    )
    graph = helper.make_graph(
        [node],
        'align',
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in feeds.items()
        ],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=9)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        print(f'opset {opset}: {session.run(None, feeds)[0].ravel().tolist()}')
    except Exception as error:
        print(f'opset {opset}: {type(error).__name__}')
PYTHON

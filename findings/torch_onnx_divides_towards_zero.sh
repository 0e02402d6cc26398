#!/usr/bin/env bash
# x // 2 for negative whole numbers, exported by torch's exporter of the TorchScript kind
# (dynamo=False).
#
# One would guess: the graph gives what torch gives, or the exporter raises an error.
# What happens (torch 2.14.1, ONNX Runtime 1.32.0): torch rounds down, the graph towards zero. Codes
# that turn coordinates left of the image into cells of a grid land in other cells.
source "$(dirname "$0")/_common.sh"
install $TORCH
check '-7 // 2: torch -4, exported -3' <<'PYTHON'
import warnings

import numpy as np
import onnxruntime
import torch

warnings.filterwarnings('ignore')


class Graph(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def run(function, example, x):
    """What the exported function gives for x."""
    torch.onnx.export(
        Graph(function), (example,), 'graph.onnx', dynamo=False, opset_version=17,
        input_names=['x'], dynamic_axes=dict(x={0: 'n'}),
    )
    return onnxruntime.InferenceSession('graph.onnx').run(None, dict(x=x.numpy()))[0]


x = torch.tensor([-7])
print(f'-7 // 2: torch {(x // 2).item()}, exported {run(lambda x: x // 2, x, x).item()}')
PYTHON

#!/usr/bin/env bash
# A grid of points, torch.linspace(0, 1, number), exported with a number that depends on the input
# (dynamo=False).
#
# One would guess: one point is 0, the start, as in torch.
# What happens (torch 2.14.1, ONNX Runtime 1.32.0): the step is a division by number - 1, and the
# only point is NaN. An image, or a level of a pyramid, of one cell has no position.
source "$(dirname "$0")/_common.sh"
install $TORCH
check '3 points: [0.0, 0.5, 1.0], 1 point: torch [0.0], exported [nan]' <<'PYTHON'
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



def grid(x):
    return torch.linspace(0, 1, x.shape[0])


three, one = torch.zeros(3), torch.zeros(1)
print(
    f'3 points: {run(grid, three, three).tolist()}, '
    f'1 point: torch {grid(one).tolist()}, exported {run(grid, three, one).tolist()}'
)
PYTHON

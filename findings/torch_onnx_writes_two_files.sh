#!/usr/bin/env bash
# torch.onnx.export(network, example, 'network.onnx'), with the exporter that is now the default.
#
# One would guess: a file network.onnx, which can be copied to where it runs.
# What happens (torch 2.14.1, onnxscript 0.7.2): the weights are in network.onnx.data, even if they
# are 400 bytes. The first file alone cannot be loaded.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'network.onnx, network.onnx.data; the first alone: Fail' <<'PYTHON'
import contextlib
import io
import os
import warnings

import onnxruntime
import torch

warnings.filterwarnings('ignore')
onnxruntime.set_default_logger_severity(4)
with contextlib.redirect_stdout(io.StringIO()):
    torch.onnx.export(torch.nn.Linear(10, 10), (torch.zeros(1, 10),), 'network.onnx')
files = sorted(name for name in os.listdir() if name.startswith('network'))
os.remove('network.onnx.data')
try:
    onnxruntime.InferenceSession('network.onnx')
    alone = 'works'
except Exception as error:
    alone = type(error).__name__
print(f'{", ".join(files)}; the first alone: {alone}')
PYTHON

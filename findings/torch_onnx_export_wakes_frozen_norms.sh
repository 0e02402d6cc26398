#!/usr/bin/env bash
# A network in training with frozen batch norms (norm_eval=True), exported between two epochs by
# torch.onnx.export(dynamo=False).
#
# One would guess: it is exported in evaluation mode, and each module has its mode back afterwards.
# What happens (torch 2.14.1): all modules get the mode of the outermost one. The frozen batch norms
# are in training mode from then on, and their statistics move.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'frozen norm in training mode before: False, after: True' <<'PYTHON'
import warnings

import torch

warnings.filterwarnings('ignore')
network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1)).train()
network[1].eval()
before = network[1].training
torch.onnx.export(network, (torch.zeros(1, 1, 2, 2),), 'graph.onnx', dynamo=False)
print(f'frozen norm in training mode before: {before}, after: {network[1].training}')
PYTHON

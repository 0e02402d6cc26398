#!/usr/bin/env bash
# A checkpoint of another network, given as load_from or to load_checkpoint.
#
# One would guess: an error, at least where not one weight fits.
# What happens (mmengine 0.10.7, torch 2.14.1): each missing, unexpected or wrongly sized weight is
# printed or logged as a warning, and the random network is trained or tested.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'weights in the file that fit: 0 of 2, weights changed: 0, error: none' <<'PYTHON'
import torch
from mmengine.runner import load_checkpoint

torch.save(dict(state_dict={'weight': torch.ones(9, 9), 'encoder.bias': torch.ones(9)}), 'other.pth')
network = torch.nn.Linear(2, 2)
before = {name: value.clone() for name, value in network.state_dict().items()}
load_checkpoint(network, 'other.pth')
changed = sum(not torch.equal(value, before[name]) for name, value in network.state_dict().items())
print(f'weights in the file that fit: 0 of 2, weights changed: {changed}, error: none')
PYTHON

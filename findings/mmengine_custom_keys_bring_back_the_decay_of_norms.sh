#!/usr/bin/env bash
# paramwise_cfg=dict(norm_decay_mult=0, custom_keys=dict(backbone=dict(lr_mult=0.1))): no weight
# decay for batch norms, and a tenth of the learning rate for the backbone.
#
# One would guess: the two add up, as they speak of different things.
# What happens (mmengine 0.10.7): a parameter that a custom key names has only what this key says.
# The norms of the backbone decay again.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'backbone norm: learning rate 0.1, decay 1.0
head norm: learning rate 1.0, decay 0.0' <<'PYTHON'
import torch
from mmengine.optim import build_optim_wrapper

network = torch.nn.ModuleDict({'backbone': torch.nn.BatchNorm2d(1), 'head': torch.nn.BatchNorm2d(1)})
wrapper = build_optim_wrapper(
    network,
    dict(
        optimizer=dict(type='SGD', lr=1.0, weight_decay=1.0),
        paramwise_cfg=dict(norm_decay_mult=0, custom_keys=dict(backbone=dict(lr_mult=0.1))),
    ),
)
groups = {id(parameter): group for group in wrapper.param_groups for parameter in group['params']}
for name in 'backbone', 'head':
    group = groups[id(network[name].weight)]
    print(f'{name} norm: learning rate {group["lr"]}, decay {group["weight_decay"]}')
PYTHON

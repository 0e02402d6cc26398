#!/usr/bin/env bash
# A checkpoint of a detector with deformable convolutions from mmdet 1, whose offsets are called
# conv2_offset; DeformConv2dPack renames such keys to conv2.conv_offset when it loads.
#
# One would guess: it still does, for the code is there.
# What happens (mmcv-lite 2.1.0, torch 2.14.1): since torch 1.13 a module is given those keys alone
# that begin with its own name, so it never sees conv2_offset. The offsets stay at their initial
# zeros: the network runs as if its convolutions were not deformable.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'missing: conv2.conv_offset.weight conv2.conv_offset.bias' <<'PYTHON'
import no_ops
import torch
from mmcv.ops import DeformConv2dPack

block = torch.nn.ModuleDict(dict(conv2=DeformConv2dPack(2, 2, 3, padding=1)))
published = {
    name.replace('conv2.conv_offset', 'conv2_offset'): torch.ones_like(value)
    for name, value in block.state_dict().items()
}
print('missing:', *block.load_state_dict(published, strict=False).missing_keys)
PYTHON

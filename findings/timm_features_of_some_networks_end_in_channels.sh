#!/usr/bin/env bash
# Feature maps of timm's networks, create_model(name, features_only=True).
#
# One would guess: each is (N, C, H, W), for feature_info tells channels and strides and nothing
# else.
# What happens (timm 1.0.31): those of Swin, Swin V2, MambaOut and Sequencer are (N, H, W, C). Where
# sides and channels happen to allow it, a head that is put on them runs, and learns from columns.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'swin_tiny_patch4_window7_224: told 96 channels, got (1, 56, 56, 96)
mambaout_femto: told 48 channels, got (1, 56, 56, 48)
convnext_atto: told 40 channels, got (1, 40, 56, 56)' <<'PYTHON'
import timm
import torch

for name in 'swin_tiny_patch4_window7_224', 'mambaout_femto', 'convnext_atto':
    network = timm.create_model(name, features_only=True, out_indices=(0,)).eval()
    with torch.no_grad():
        (feature_map,) = network(torch.zeros(1, 3, 224, 224))
    (told,) = network.feature_info.channels()
    print(f'{name}: told {told} channels, got {tuple(feature_map.shape)}')
PYTHON

#!/usr/bin/env bash
# A hybrid of a ResNet and a ViT, asked for feature maps of an image that is no multiple of its
# stride.
#
# One would guess: with dynamic_img_size=True it takes any size, as plain ViTs do, or raises an
# error.
# What happens (timm 1.0.31, torch 2.14.1, CPU): the convolutions round the grid up, the reshaping
# of the tokens rounds it down. Where the numbers happen to allow it, 28 tokens of 384 channels, 4 ×
# 7, come back without an error as 21 positions of 512 channels, 3 × 7: all values are in wrong
# places. At other sizes it raises an error. The channels that feature_info tells stay 384.
source "$(dirname "$0")/_common.sh"
install $TORCH
check '112 × 224: told 384 channels, got (1, 512, 3, 7)' <<'PYTHON'
import timm
import torch

network = timm.create_model(
    'vit_small_r26_s32_224', features_only=True, out_indices=(0,), dynamic_img_size=True
).eval()
with torch.no_grad():
    (feature_map,) = network(torch.zeros(1, 3, 112, 224))
(told,) = network.feature_info.channels()
print(f'112 × 224: told {told} channels, got {tuple(feature_map.shape)}')
PYTHON

#!/usr/bin/env bash
# torch.sort of equal scores, on a CPU, as before NMS or a limit of detections.
#
# One would guess: equal values keep their order, as they do in all small examples.
# What happens (torch 2.14.1): up to 16 values they do. From 17 on the order is another one. A
# detector with many equal scores gives other boxes than its export; stable=True is not exported.
source "$(dirname "$0")/_common.sh"
install $TORCH
check '16 equal values keep their order: True, 17: False' <<'PYTHON'
import torch

kept = [torch.equal(torch.zeros(n).sort().indices, torch.arange(n)) for n in (16, 17)]
print(f'16 equal values keep their order: {kept[0]}, 17: {kept[1]}')
PYTHON

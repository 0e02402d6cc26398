#!/usr/bin/env bash
# Two boxes of which the smaller is a tenth, two tenths … of the larger, and NMS with just this
# threshold.
#
# One would guess: a pair whose overlap equals the threshold is always kept, for NMS removes what
# lies above.
# What happens (torchvision 0.29.1, CPU): in float32 the overlap is compared with a threshold in
# float64. The pair is kept at 0.5, 0.7 and 0.9 and loses a box at 0.1, 0.2, 0.3 and 0.6. In
# float64, and in ONNX Runtime 1.32.0, it is always kept.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'threshold: 0.1 0.2 0.3 0.5 0.6 0.7 0.9
float32: 1 1 1 2 1 2 2
float64: 2 2 2 2 2 2 2' <<'PYTHON'
import torch
from torchvision.ops import nms

tenths = 1, 2, 3, 5, 6, 7, 9
print('threshold:', *(tenth / 10 for tenth in tenths))
for dtype in torch.float32, torch.float64:
    kept = []
    for tenth in tenths:
        boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, tenth]], dtype=dtype)
        kept.append(len(nms(boxes, torch.tensor([0.9, 0.8], dtype=dtype), tenth / 10)))
    print(f'{str(dtype).removeprefix("torch.")}:', *kept)
PYTHON

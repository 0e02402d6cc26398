#!/usr/bin/env bash
# BoundingBoxes of whole numbers, converted to centres and sizes and back by torchvision's
# transforms v2.
#
# One would guess: the same box; its sides are odd, so that its centre lies between pixels.
# What happens (torchvision 0.29.1): the centre is rounded, and the box comes back one pixel higher
# and further left. Transforms that convert on the way do this with annotations that were read as
# integers.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'before [10, 10, 13, 15], after [9, 9, 12, 14]; as floats [10.0, 10.0, 13.0, 15.0]' <<'PYTHON'
import torch
from torchvision.transforms.v2.functional import convert_bounding_box_format as convert
from torchvision.tv_tensors import BoundingBoxes

results = []
for dtype in torch.int64, torch.float32:
    box = BoundingBoxes(
        torch.tensor([[10, 10, 13, 15]], dtype=dtype), format='XYXY', canvas_size=(20, 20)
    )
    results.append(convert(convert(box, new_format='CXCYWH'), new_format='XYXY')[0].tolist())
print(f'before [10, 10, 13, 15], after {results[0]}; as floats {results[1]}')
PYTHON

#!/usr/bin/env bash
# Boxes of instance masks, torchvision.ops.masks_to_boxes.
#
# One would guess: the box that a detector is taught, x1, y1, x2, y2 with the width x2 - x1.
# What happens (torchvision 0.29.1): x2 and y2 are the last row and column inside the mask. A mask 5
# pixels wide gets a box of width 4, and one of a single pixel a box without an area, for which
# losses give NaN or are left out.
source "$(dirname "$0")/_common.sh"
install $TORCH
check '5 × 5 pixels: [5.0, 5.0, 9.0, 9.0]
1 × 1 pixel: [5.0, 5.0, 5.0, 5.0], IoU with itself nan' <<'PYTHON'
import torch
from torchvision.ops import box_iou, masks_to_boxes

masks = torch.zeros(2, 20, 20, dtype=torch.bool)
masks[0, 5:10, 5:10] = True
masks[1, 5, 5] = True
boxes = masks_to_boxes(masks)
print(f'5 × 5 pixels: {boxes[0].tolist()}')
print(f'1 × 1 pixel: {boxes[1].tolist()}, IoU with itself {box_iou(boxes[1:], boxes[1:]).item()}')
PYTHON

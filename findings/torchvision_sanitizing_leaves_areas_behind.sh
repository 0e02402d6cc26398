#!/usr/bin/env bash
# SanitizeBoundingBoxes on a COCO annotation: boxes, labels, area and iscrowd of each object.
#
# One would guess: what belongs to a removed box is removed with it.
# What happens (torchvision 0.29.1): boxes, masks and labels alone are. area and iscrowd keep their
# length, so that from the removed object on they belong to other boxes.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'boxes 1, labels [7], area [0.0, 100.0], iscrowd [1, 0]' <<'PYTHON'
import torch
from torchvision.transforms.v2 import SanitizeBoundingBoxes
from torchvision.tv_tensors import BoundingBoxes

target = SanitizeBoundingBoxes()(
    dict(
        boxes=BoundingBoxes(
            [[5.0, 5, 5, 5], [5, 5, 15, 15]], format='XYXY', canvas_size=(20, 20)
        ),
        labels=torch.tensor([3, 7]),
        area=torch.tensor([0.0, 100]),
        iscrowd=torch.tensor([1, 0]),
    )
)
print(
    f'boxes {len(target["boxes"])}, labels {target["labels"].tolist()}, '
    f'area {target["area"].tolist()}, iscrowd {target["iscrowd"].tolist()}'
)
PYTHON

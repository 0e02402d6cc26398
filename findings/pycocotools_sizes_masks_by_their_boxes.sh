#!/usr/bin/env bash
# Instance masks, handed to the evaluation with the boxes that the detector found beside them.
#
# One would guess: a mask is small, medium or large by its own area, with a box beside it or
# without.
# What happens (pycocotools 2.0.11): if the first result has a box, each result has the area of its
# box. Here a thin diagonal object of 772 square pixels is found, and another such mask, with a
# higher score, is wrong. Without boxes that is an AP of 0.5 for small objects. With them the wrong
# mask counts as large, and is left out: 1.0.
source "$(dirname "$0")/_common.sh"
install pycocotools==2.0.11 numpy==2.4.6
check 'AP of small objects: 0.5 without boxes, 1.0 with boxes' <<'PYTHON'
import contextlib
import io

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def diagonal(start):
    """A line of 100 pixels, 8 pixels wide, in a box of 100 × 100."""
    pixels = np.zeros((300, 300), np.uint8, order='F')
    for i in range(100):
        pixels[start + i, start + i : min(start + i + 8, start + 100)] = 1
    return mask.encode(pixels)


right, wrong = diagonal(10), diagonal(150)
truth = COCO()
truth.dataset = dict(
    images=[dict(id=1, width=300, height=300)],
    categories=[dict(id=1, name='snake')],
    annotations=[
        dict(id=1, image_id=1, category_id=1, segmentation=right, area=int(mask.area(right)),
             bbox=[10, 10, 100, 100], iscrowd=0)
    ],
)
aps = []
for boxes in ({}, {}), (dict(bbox=[150, 150, 100, 100]), dict(bbox=[10, 10, 100, 100])):
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes(
            [
                dict(image_id=1, category_id=1, segmentation=wrong, score=0.9, **boxes[0]),
                dict(image_id=1, category_id=1, segmentation=right, score=0.8, **boxes[1]),
            ]
        )
        evaluation = COCOeval(truth, found, 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    aps.append(evaluation.stats[3].round(3))
print(f'AP of small objects: {aps[0]} without boxes, {aps[1]} with boxes')
PYTHON

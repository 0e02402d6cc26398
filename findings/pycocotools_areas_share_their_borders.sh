#!/usr/bin/env bash
# Objects of exactly 32 × 32 pixels, in COCO's numbers for small, medium and large objects.
#
# One would guess: each object belongs to one of the three sizes.
# What happens (pycocotools 2.0.11): both ends of each range belong to it. An object of 1024 square
# pixels is small and medium, one of 9216 medium and large. Drawn or cropped data, whose objects
# often have such sides, count twice.
source "$(dirname "$0")/_common.sh"
install pycocotools==2.0.11 numpy==2.4.6
check '32 × 32: small 1.0, medium 1.0, large -1.0
96 × 96: small -1.0, medium 1.0, large 1.0
33 × 32: small -1.0, medium 1.0, large -1.0' <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

for width, height in (32, 32), (96, 96), (33, 32):
    box = [9, 9, width, height]
    truth = COCO()
    truth.dataset = dict(
        images=[dict(id=1, width=200, height=200)],
        categories=[dict(id=1, name='sign')],
        annotations=[
            dict(id=1, image_id=1, category_id=1, bbox=box, area=width * height, iscrowd=0)
        ],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes([dict(image_id=1, category_id=1, bbox=box, score=0.9)])
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    small, medium, large = evaluation.stats[3:6].round(3)
    print(f'{width} × {height}: small {small}, medium {medium}, large {large}')
PYTHON

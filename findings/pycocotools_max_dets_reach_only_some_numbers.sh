#!/usr/bin/env bash
# The largest number of detections in an image, raised with params.maxDets.
#
# One would guess: all numbers of the summary then count as many detections as the last entry says.
# What happens (pycocotools 2.0.11): the first number, the AP over all overlaps, always looks for
# 100. If 100 is in the list, it still counts 100 detections while AP50 and AP75 count the new
# number; if it is not, it is -1. So mmdet 3.3's CocoMetric, whose list is (100, 300, 1000), reports
# an mAP of 100 detections beside an AP50 of 1000: here 0.337 beside 1.0 for 300 objects that are
# all found exactly.
source "$(dirname "$0")/_common.sh"
install pycocotools==2.0.11 numpy==2.4.6
check 'maxDets (1, 10, 100): AP 0.337, AP50 0.337
maxDets (100, 300, 1000): AP 0.337, AP50 1.0
maxDets (1, 10, 1000): AP -1.0, AP50 1.0' <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

boxes = [[20 * (i % 20), 20 * (i // 20), 10, 10] for i in range(300)]
truth = COCO()
truth.dataset = dict(
    images=[dict(id=1, width=400, height=300)],
    categories=[dict(id=1, name='bird')],
    annotations=[
        dict(id=i, image_id=1, category_id=1, bbox=box, area=100, iscrowd=0)
        for i, box in enumerate(boxes, 1)
    ],
)
with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    found = truth.loadRes(
        [dict(image_id=1, category_id=1, bbox=box, score=1 - i / 1000) for i, box in enumerate(boxes)]
    )
for most in (1, 10, 100), (100, 300, 1000), (1, 10, 1000):
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.params.maxDets = list(most)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50 = evaluation.stats[:2].round(3)
    print(f'maxDets {most}: AP {ap}, AP50 {ap50}')
PYTHON

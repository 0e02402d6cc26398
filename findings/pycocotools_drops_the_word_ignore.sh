#!/usr/bin/env bash
# A file in COCO's format in which some objects are marked with "ignore": 1, as difficult objects of
# VOC often are when they are converted, and which has "iscrowd": 0 everywhere.
#
# One would guess: the evaluation reads the key, for it has one of this name and skips such objects.
# What happens (pycocotools 2.0.11): it writes the key anew from iscrowd, so the objects count as
# missed. The AP of a detector that finds all others exactly is 0.505 instead of 1.
source "$(dirname "$0")/_common.sh"
install pycocotools==2.0.11 numpy==2.4.6
check 'AP: 0.505, ignore is now 0' <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

truth = COCO()
truth.dataset = dict(
    images=[dict(id=1, width=200, height=200)],
    categories=[dict(id=1, name='car')],
    annotations=[
        dict(id=1, image_id=1, category_id=1, bbox=[9, 9, 50, 50], area=2500, iscrowd=0, ignore=0),
        dict(id=2, image_id=1, category_id=1, bbox=[99, 9, 50, 50], area=2500, iscrowd=0, ignore=1),
    ],
)
with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    found = truth.loadRes([dict(image_id=1, category_id=1, bbox=[9, 9, 50, 50], score=0.9)])
    evaluation = COCOeval(truth, found, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
print(f'AP: {evaluation.stats[0].round(3)}, ignore is now {truth.anns[2]["ignore"]}')
PYTHON

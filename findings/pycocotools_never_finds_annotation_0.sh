#!/usr/bin/env bash
# An annotation with the id 0, in COCO's format.
#
# One would guess: an id is a name, and 0 is one as good as 1.
# What happens (pycocotools 2.0.11): the evaluation notes for each object the id of the detection
# that found it, and for each detection the id of its object, with 0 for "none". A detection of the
# annotation 0 therefore counts as wrong: an object that is found exactly has AP 0. Converters that
# number from 0, mmdet 3.3's of VOC among them, lose one object so, and in a small class some per
# cent.
source "$(dirname "$0")/_common.sh"
install pycocotools==2.0.11 numpy==2.4.6
check 'AP of one object, found exactly: id 1: 1.0, id 0: 0.0' <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def average_precision(annotation_id):
    truth = COCO()
    truth.dataset = dict(
        images=[dict(id=1, width=99, height=99)],
        categories=[dict(id=1, name='dog')],
        annotations=[
            dict(id=annotation_id, image_id=1, category_id=1, bbox=[9, 9, 50, 50], area=2500, iscrowd=0)
        ],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes([dict(image_id=1, category_id=1, bbox=[9, 9, 50, 50], score=0.9)])
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0].round(3)


print(f'AP of one object, found exactly: id 1: {average_precision(1)}, id 0: {average_precision(0)}')
PYTHON

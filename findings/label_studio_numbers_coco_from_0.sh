#!/usr/bin/env bash
# An export of Label Studio in COCO's format, with one object, evaluated by pycocotools.
#
# One would guess: an object that is found exactly has an AP of 1.
# What happens (label-studio-sdk 2.1.2, pycocotools 2.0.11): images, categories and annotations are
# numbered from 0, and to the evaluation an object of the number 0 is one that is never found. The
# first object of every export counts as missed, and its detection as wrong.
source "$(dirname "$0")/_common.sh"
install label-studio-sdk==2.1.2 pycocotools==2.0.11
check 'ids: image 0, category 0, annotation 0; AP of the object itself: 0.0' <<'PYTHON'
import contextlib
import io
import json
from pathlib import Path

from label_studio_sdk.converter import Converter
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SETUP = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/></RectangleLabels></View>'
)
box = dict(
    id='a',
    type='rectanglelabels',
    from_name='label',
    to_name='image',
    original_width=200,
    original_height=100,
    image_rotation=0,
    value=dict(x=10, y=10, width=50, height=50, rotation=0, rectanglelabels=['cat']),
)
task = dict(
    id=1,
    data=dict(image='/data/upload/1.png'),
    annotations=[dict(id=5, completed_by=1, result=[box])],
)
Path('tasks.json').write_text(json.dumps([task]))
Converter(SETUP, '.', download_resources=False).convert('tasks.json', 'coco', 'COCO', is_dir=False)
(file,) = Path('coco').rglob('result.json')
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(file)
    (cat,) = truth.dataset['annotations']
    found = truth.loadRes([dict(image_id=0, category_id=0, bbox=cat['bbox'], score=0.9)])
    evaluation = COCOeval(truth, found, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
print(
    f'ids: image {cat["image_id"]}, category {cat["category_id"]}, annotation {cat["id"]}; '
    f'AP of the object itself: {evaluation.stats[0]}'
)
PYTHON

#!/usr/bin/env bash
# A VOC data set of two images with three objects each, converted to COCO's format by Datumaro.
#
# One would guess: each annotation of the file has an id of its own, as COCO's format asks.
# What happens (datumaro 1.13.12): the number of an object in its VOC file becomes its id, so that
# ids repeat from image to image, and 0 becomes a free number. pycocotools 2.0.11 keeps one
# annotation of each id, and calls detections of the others wrong: all six found exactly have an AP
# of 0.25.
source "$(dirname "$0")/_common.sh"
install datumaro==1.13.12 pycocotools==2.0.11
check 'ids: 1 1 2 2 2 3, different: 3, AP of the objects themselves: 0.25' <<'PYTHON'
import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
from datumaro import Dataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OBJECT = (
    '<object><name>cat</name><difficult>0</difficult><bndbox><xmin>{0}</xmin><ymin>{0}</ymin>'
    '<xmax>{1}</xmax><ymax>{1}</ymax></bndbox></object>'
)
for folder in 'JPEGImages', 'Annotations', 'ImageSets/Main':
    Path('voc', folder).mkdir(parents=True)
objects = ''.join(OBJECT.format(start, start + 20) for start in (1, 31, 61))
for name in 'first', 'second':
    cv2.imwrite(f'voc/JPEGImages/{name}.jpg', np.zeros((99, 99, 3), np.uint8))
    Path(f'voc/Annotations/{name}.xml').write_text(f'<annotation>{objects}</annotation>')
Path('voc/ImageSets/Main/train.txt').write_text('first\nsecond\n')
Dataset.import_from('voc', 'voc_detection').export('coco', 'coco_instances')

(file,) = Path('coco').rglob('*.json')
annotations = json.loads(file.read_text())['annotations']
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(file)
    keys = 'image_id', 'category_id', 'bbox'
    found = truth.loadRes([{key: a[key] for key in keys} | dict(score=0.9) for a in annotations])
    evaluation = COCOeval(truth, found, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
ids = sorted(annotation['id'] for annotation in annotations)
print(
    f'ids: {" ".join(map(str, ids))}, different: {len(set(ids))}, '
    f'AP of the objects themselves: {evaluation.stats[0]:.2f}'
)
PYTHON

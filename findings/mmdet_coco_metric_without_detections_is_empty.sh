#!/usr/bin/env bash
# CocoMetric in the first validation of a detector that finds nothing yet, and
# save_best='coco/bbox_mAP'.
#
# One would guess: an mAP of 0.
# What happens (mmdet 3.3.0): an error in the log, and a result without any key.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'results: {}' <<'PYTHON'
import json

import no_ops
import numpy as np
from mmdet.evaluation import CocoMetric

coco = dict(
    images=[dict(id=1, file_name='1.jpg', width=99, height=99)],
    categories=[dict(id=1, name='cat')],
    annotations=[dict(id=1, image_id=1, category_id=1, bbox=[9, 9, 50, 50], area=2500, iscrowd=0)],
)
with open('coco.json', 'w') as file:
    json.dump(coco, file)
metric = CocoMetric(ann_file='coco.json')
metric.dataset_meta = dict(classes=('cat',))
nothing = dict(img_id=1, bboxes=np.zeros((0, 4)), scores=np.zeros(0), labels=np.zeros(0, int))
print(f'results: {dict(metric.compute_metrics([({}, nothing)]))}')
PYTHON

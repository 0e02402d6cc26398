#!/usr/bin/env bash
# VOCMetric(metric='recall'), for two classes.
#
# One would guess: the recall of the detections of all classes, each with its own objects.
# What happens (mmdet 3.3.0): the objects of all classes are compared with the detections of class 0
# alone. A dog (class 1) that is found exactly has recall 0; so has every class but the first.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'recall of a cat: 1.0, of a dog: 0.0, both found exactly' <<'PYTHON'
import no_ops
import numpy as np
from mmdet.evaluation import VOCMetric

metric = VOCMetric(metric='recall', iou_thrs=0.5)
metric.dataset_meta = dict(classes=('cat', 'dog'), dataset_type='VOC2007')
box, nothing = np.array([[9, 9, 59, 59, 0.9]]), np.zeros((0, 5))
recalls = []
for label in 0, 1:
    truth = dict(bboxes=box[:, :4], labels=np.array([label]))
    detections = [box if label == other else nothing for other in (0, 1)]
    recalls.append(metric.compute_metrics([(truth, detections)])['recall@100@0.5'])
print(f'recall of a cat: {recalls[0]}, of a dog: {recalls[1]}, both found exactly')
PYTHON

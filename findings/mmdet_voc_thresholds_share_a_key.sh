#!/usr/bin/env bash
# VOCMetric with the overlap thresholds 0.56 and 0.57.
#
# One would guess: the results have AP56 and AP57.
# What happens (mmdet 3.3.0): a key is int(100 × threshold), and 100 × 0.57 is 56.99…, so that both
# are AP56 and the second replaces the first. 0.29, 0.57 and 0.58 are called AP28, AP56 and AP57.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'mAP: 1.0, AP28: 1.0, AP56: 1.0, AP57: 1.0' <<'PYTHON'
import no_ops
import numpy as np
from mmdet.evaluation import VOCMetric

metric = VOCMetric(iou_thrs=[0.29, 0.56, 0.57, 0.58])
metric.dataset_meta = dict(classes=('cat',), dataset_type='VOC2007')
box = np.array([[9, 9, 59, 59, 0.9]])
truth = dict(
    bboxes=box[:, :4], labels=np.array([0]), bboxes_ignore=np.zeros((0, 4)), labels_ignore=np.zeros(0)
)
results = metric.compute_metrics([(truth, [box])])
print(', '.join(f'{key}: {value}' for key, value in results.items()))
PYTHON

#!/usr/bin/env bash
# The AP of VOC2007, the mean precision at the recalls 0, 0.1, …, 1, where some of 10 objects are
# found and nothing is wrong.
#
# One would guess: 3 of 10 found is a recall of 0.3, so four of the eleven points have precision 1.
# What happens (mmdet 3.3.0, NumPy 2.4.6): the points are np.arange(0, 1 + 1e-3, 0.1), whose fourth
# is 0.30000000000000004. Recalls of exactly 0.3, 0.6 and 0.7 miss their point, and 1/11 of AP. (The
# text of the protocol says 0.3. MATLAB's colon operator, by its documentation, misses 3 of 10
# alone.)
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'points that are reached: 2 3 3 5 6 6 7 9 10 11' <<'PYTHON'
import no_ops
import numpy as np
from mmdet.evaluation import eval_map

boxes = np.array([[20 * i, 0, 20 * i + 9, 9] for i in range(10)], np.float32)
truth = dict(bboxes=boxes, labels=np.zeros(10, int))
reached = []
for found in range(1, 11):
    scored = np.column_stack([boxes, np.full(10, 0.9, np.float32)])[:found]
    ap, _ = eval_map([[scored]], [truth], iou_thr=0.5, logger='silent', eval_mode='11points')
    reached.append(round(11 * ap))
print('points that are reached:', *reached)
PYTHON

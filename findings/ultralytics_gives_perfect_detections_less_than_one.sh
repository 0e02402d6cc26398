#!/usr/bin/env bash
# The AP of detections that are all right, by the function that Ultralytics' validation uses.
#
# One would guess: 1, as from COCO's and VOC's evaluations.
# What happens (ultralytics 8.4.190): the curve is sampled at 101 recalls, at the last of which the
# precision is 0, and the samples are joined by straight lines: 0.995. Each class has half a point
# of a per cent less than from COCO's evaluation, which takes the mean of the samples. So students
# and teachers from the two worlds cannot be compared by their numbers.
source "$(dirname "$0")/_common.sh"
install ultralytics==8.4.190 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 opencv-python==5.0.0.93
check '10 of 10 found, none wrong: 0.995
5 of 10 found, none wrong: 0.495' <<'PYTHON'
import os

os.environ['YOLO_CONFIG_DIR'] = os.getcwd()

import numpy as np
from ultralytics.utils.metrics import ap_per_class

for found in 10, 5:
    right, scores = np.ones((found, 1), bool), np.linspace(0.9, 0.5, found)
    ap = ap_per_class(right, scores, np.zeros(found), np.zeros(10))[5]
    print(f'{found} of 10 found, none wrong: {ap.item():.3f}')
PYTHON

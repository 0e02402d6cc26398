#!/usr/bin/env bash
# The recall of proposals, by mmdet's eval_recalls or VOCMetric(metric='recall'), on two images.
#
# One would guess: images may have different numbers of proposals, as they have behind every NMS.
# What happens (mmdet 3.3.0, NumPy 2.4.6): the overlaps of all images are put into one array, which
# NumPy has refused since 1.24 for rows of different lengths: a ValueError.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'equal numbers: recall 1.0, different numbers: ValueError' <<'PYTHON'
import no_ops
import numpy as np
from mmdet.evaluation import eval_recalls

box = np.array([[9.0, 9, 59, 59]])
outcomes = []
for second in box, np.concatenate([box, box]):
    try:
        recalls = eval_recalls([box, box], [box, second], 100, 0.5, logger='silent')
        outcomes.append(f'recall {recalls.item()}')
    except ValueError as error:
        outcomes.append(type(error).__name__)
print(f'equal numbers: {outcomes[0]}, different numbers: {outcomes[1]}')
PYTHON

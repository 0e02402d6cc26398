#!/usr/bin/env bash
# nms_pre=-1 in the test_cfg of a one-stage detector: no limit before NMS. It is the default.
#
# One would guess: all candidates above the score threshold go into NMS.
# What happens (mmdet 3.3.0): min(-1, number) candidates are kept by a slice, which leaves out the
# last one, that of the lowest score, of every level of the pyramid. An image with one candidate has
# none.
source "$(dirname "$0")/_common.sh"
install $MMDET
check '3 candidates: kept 2, 1 candidate: kept 0' <<'PYTHON'
import no_ops
import torch
from mmdet.models.utils import filter_scores_and_topk

kept = [
    len(filter_scores_and_topk(torch.linspace(0.9, 0.5, number)[:, None], score_thr=0.05, topk=-1)[0])
    for number in (3, 1)
]
print(f'3 candidates: kept {kept[0]}, 1 candidate: kept {kept[1]}')
PYTHON

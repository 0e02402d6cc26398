#!/usr/bin/env bash
# MultiStepLR(begin=3, milestones=[4, 6]): a schedule that begins after a warm-up of three steps.
#
# One would guess: the learning rate falls at steps 4 and 6, for begin and end are steps of the
# training.
# What happens (mmengine 0.10.7): milestones are counted from begin, so that it falls at 7 and 9.
# With begin=500, copied from a warm-up by iterations, the last milestone may never come.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'the learning rate falls at the steps [7, 9]' <<'PYTHON'
import torch
from mmengine.optim.scheduler import MultiStepLR

optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
schedule = MultiStepLR(optimizer, milestones=[4, 6], begin=3, end=20)
rates = []
for _ in range(20):
    rates.append(optimizer.param_groups[0]['lr'])
    optimizer.step()
    schedule.step()
print('the learning rate falls at the steps', [i for i in range(1, 20) if rates[i] < rates[i - 1]])
PYTHON

#!/usr/bin/env bash
# Two Runners without an experiment name, made in one process within one second.
#
# One would guess: each Runner has its own message hub, for each has its own work dir.
# What happens (mmengine 0.10.7, torch 2.14.1, CPU): the name of a Runner is its start in whole
# seconds, and message hubs are found by name. The second Runner gets the hub of the first, and with
# it what the first has noted there: counters, the iteration, the history of the losses.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'same name: True, same hub: True, note of the first Runner in the second: 7' <<'PYTHON'
import tempfile
import time

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        return dict(loss=self.slope(x).square().mean())


def make_runner():
    return Runner(model=Line(), work_dir=tempfile.mkdtemp(dir='.'), log_level='ERROR')


make_runner()  # the first one of a process takes longer than the others
for _ in range(5):  # a busy machine may take more than the rest of a second
    time.sleep(1 - time.time() % 1)
    first = make_runner()
    first.message_hub.update_info('note', 7)
    second = make_runner()
    if first.experiment_name == second.experiment_name:
        break
print(
    f'same name: {first.experiment_name == second.experiment_name}, '
    f'same hub: {first.message_hub is second.message_hub}, '
    f'note of the first Runner in the second: {second.message_hub.get_info("note", 0)}'
)
PYTHON

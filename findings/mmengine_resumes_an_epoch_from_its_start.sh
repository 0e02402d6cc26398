#!/usr/bin/env bash
# A training of 2 epochs of 4 iterations, resumed from a checkpoint of its iteration 3.
#
# One would guess: it goes on with the fourth image and ends after iteration 8.
# What happens (mmengine 0.10.7): the epoch begins anew, so that three images are trained twice, and
# the training ends after iteration 11. Schedules by iteration run past their end.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'the resumed training ended after iteration 11 of 8' <<'PYTHON'
import os
import tempfile

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'  # to read the checkpoints of this program


class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([float(index)])


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        return dict(loss=self.slope(x).square().mean()) if mode == 'loss' else [x]


def runner(work_dir, name, **settings):
    return Runner(
        model=Line(),
        work_dir=work_dir,
        experiment_name=name,
        log_level='ERROR',
        train_dataloader=dict(
            batch_size=1, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        **settings,
    )


epochs = dict(train_cfg=dict(by_epoch=True, max_epochs=2))
runner(
    'work',
    'whole',
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False)),
    **epochs,
).train()
resumed = runner('resumed', 'resumed', load_from='work/iter_3.pth', resume=True, **epochs)
resumed.train()
print(f'the resumed training ended after iteration {resumed.iter} of {resumed.max_iters}')
PYTHON

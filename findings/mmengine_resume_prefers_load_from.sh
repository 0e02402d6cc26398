#!/usr/bin/env bash
# resume=True for a training that was interrupted, whose config has load_from, say for pretrained
# weights.
#
# One would guess: it resumes from the newest checkpoint of the work dir, which last_checkpoint
# names; load_from was for the beginning.
# What happens (mmengine 0.10.7): it resumes from load_from, with its optimizer and its iteration,
# and all that was trained since is left aside, without a warning.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'newest in the work dir: iter_8.pth, resumed at iteration: 3' <<'PYTHON'
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
    'first',
    default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False)),
    **epochs,
).train()
with open('work/last_checkpoint') as file:
    newest = os.path.basename(file.read())
resumed = runner('work', 'resumed', load_from='work/iter_3.pth', resume=True, **epochs)
resumed.load_or_resume()
print(f'newest in the work dir: {newest}, resumed at iteration: {resumed.iter}')
PYTHON

#!/usr/bin/env bash
# CheckpointHook(interval=3, save_best='score') in a training of 6 epochs, whose score rises in
# each.
#
# One would guess: epoch_3.pth, epoch_6.pth and the best one.
# What happens (mmengine 0.10.7): once a checkpoint has been written, each epoch that is a new best
# is also written as a common checkpoint, with the state of the optimizer: epoch_4.pth and
# epoch_5.pth.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'best_score_epoch_6.pth epoch_3.pth epoch_4.pth epoch_5.pth epoch_6.pth' <<'PYTHON'
import os

from mmengine.evaluator import BaseMetric, Evaluator
from tiny_training import Numbers, runner


class Rising(BaseMetric):
    scores = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.scores += 1
        return dict(score=self.scores)


runner(
    'work',
    'rising',
    train_cfg=dict(by_epoch=True, max_epochs=6, val_interval=1),
    val_cfg=dict(),
    val_dataloader=dict(
        batch_size=1, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False)
    ),
    val_evaluator=Evaluator(Rising()),
    default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', interval=3, save_best='score', rule='greater')
    ),
).train()
print(*sorted(name for name in os.listdir('work') if name.endswith('.pth')))
PYTHON

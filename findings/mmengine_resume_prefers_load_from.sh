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

from tiny_training import runner

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

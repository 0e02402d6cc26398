#!/usr/bin/env bash
# A training of 2 epochs of 4 iterations, resumed from a checkpoint of its iteration 3.
#
# One would guess: it goes on with the fourth image and ends after iteration 8.
# What happens (mmengine 0.10.7): the epoch begins anew, so that three images are trained twice, and
# the training ends after iteration 11. Schedules by iteration run past their end.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'the resumed training ended after iteration 11 of 8' <<'PYTHON'
from tiny_training import runner

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

# The student of the digits' table, without a teacher.
_base_ = [
    '../_base_/models/small-inception-bn-w0.125_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime_classification.py',
]

train_cfg = dict(max_epochs=10, val_interval=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(
        type='CosineAnnealingLR', eta_min=0.0, by_epoch=True, T_max=10, convert_to_iter_based=True
    ),
]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=1))

# The student of the digits' table, without a teacher.
_base_ = [
    '../_base_/models/small-inception-bn-w0.125_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime_classification.py',
]

train_dataloader = dict(batch_size=16)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1))

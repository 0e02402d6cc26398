# The table's teacher: wider than the student, and trained for longer.
_base_ = './_base_/student.py'
method = 'Teacher'

# What you may want to change.
width = 0.375  # of every layer
max_epochs = 24

channels_4b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (192, 128, 128, 128))
channels_5b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (352, 320, 224, 128))
model = dict(
    backbone=dict(width=width),
    rpn_head=dict(in_channels=channels_4b),
    roi_head=dict(
        shared_head=dict(width=width),
        bbox_roi_extractor=dict(out_channels=channels_4b),
        bbox_head=dict(in_channels=channels_5b),
    ),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=max_epochs)]

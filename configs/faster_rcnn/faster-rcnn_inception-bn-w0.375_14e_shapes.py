# The demo's teacher: wider than the student, and trained for longer.
_base_ = [
    '../_base_/models/faster-rcnn_inception-bn-w0.375-c4.py',
    '../_base_/models/small_images.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
max_epochs = 14

_base_.small_images.rpn_head.anchor_generator = dict(scales=[1.5, 3, 5])
_base_.small_images.roi_head.bbox_head.num_classes = 4
model = dict(**_base_.small_images)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=max_epochs, max_keep_ckpts=1))

# A slim student on VOC2007 at 320 pixels, from scratch: what two CPU cores can train.
_base_ = [
    '../_base_/models/faster-rcnn_inception-bn-w0.25-c4.py',
    '../_base_/models/small_images.py',
    '../_base_/datasets/voc07_320.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
max_epochs = 6

_base_.small_images.rpn_head.anchor_generator = dict(scales=[2, 4, 8, 16])
model = dict(**_base_.small_images)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
_base_.param_scheduler[0].end = 100
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))

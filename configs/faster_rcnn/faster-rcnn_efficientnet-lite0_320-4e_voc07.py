# A student with ImageNet weights on VOC photographs at 320 pixels: EfficientNet-Lite0.
_base_ = [
    '../_base_/models/faster-rcnn_efficientnet-lite0-fpn.py',
    '../_base_/datasets/voc07_320.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
max_epochs = 4
batch_size = 8
optim_wrapper_type = 'Bfloat16OptimWrapper'  # 'OptimWrapper' for float32

# Every batch has one size, so that a teacher's feature maps of an image can be kept: teacher.cache.
model = dict(data_preprocessor=dict(pad_size_divisor=320))
train_dataloader = dict(batch_size=batch_size, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    type=optim_wrapper_type,
    optimizer=dict(lr=0.0006),
    # The heads begin at random, the backbone with ImageNet's weights.
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(backbone=dict(lr_mult=0.5))),
)
_base_.param_scheduler[0].end = 100
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))

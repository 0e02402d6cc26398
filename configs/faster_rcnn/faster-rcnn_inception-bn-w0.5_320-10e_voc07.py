# The student on VOC photographs at 320 pixels: an Inception-BN of half the width, from scratch.
_base_ = [
    '../_base_/models/faster-rcnn_inception-bn-w0.5-c4.py',
    '../_base_/models/small_images.py',
    '../_base_/datasets/voc07_320.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
max_epochs = 10
batch_size = 8
optim_wrapper_type = 'Bfloat16OptimWrapper'  # 'OptimWrapper' for float32

# Every batch has one size, so that a teacher's feature maps of an image can be kept: teacher.cache.
_base_.small_images.data_preprocessor.pad_size_divisor = 320
_base_.small_images.rpn_head.anchor_generator = dict(scales=[2, 4, 8, 16])
model = dict(**_base_.small_images)
train_dataloader = dict(batch_size=batch_size, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(type=optim_wrapper_type, optimizer=dict(lr=0.004))
_base_.param_scheduler[0].end = 100
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))

# VOC2007 at 320 pixels with the demo's slim student, from scratch: what two CPU cores can do.
_base_ = '../demo/student.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
scale = (320, 320)
max_epochs = 6

load = [
    dict(type='LoadVerifiedImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
]
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
train_pipeline = [*load, dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')]
# The labels after the resizing: they stay in the image's own size.
test_pipeline = [load[0], load[2], load[1], dict(type='PackDetInputs', meta_keys=meta_keys)]

model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[2, 4, 8, 16])),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)
devkit = dict(
    _delete_=True,
    type='VOCDevkitDataset',
    data_root=data_root,
    data_prefix=dict(sub_data_root='VOC2007/'),
)
train_dataloader = dict(
    dataset=dict(
        devkit,
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        devkit,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        by_epoch=True,
        T_max=max_epochs,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))

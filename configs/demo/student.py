# The demo's plain student: a slim Faster R-CNN on Inception-BN, small enough for two CPU cores.
_base_ = [
    '../_base_/models/faster_rcnn_inception_bn_c4.py',
    '../_base_/datasets/shapes.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
width = 0.25  # of every layer
max_epochs = 5
lr = 0.003

channels_4b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (192, 128, 128, 128))
channels_5b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (352, 320, 224, 128))
model = dict(
    data_preprocessor=dict(std=[58, 58, 58], pad_size_divisor=16),
    backbone=dict(width=width),
    rpn_head=dict(
        in_channels=channels_4b,
        feat_channels=128,
        anchor_generator=dict(scales=[1.5, 3, 5]),
    ),
    roi_head=dict(
        shared_head=dict(width=width),
        bbox_roi_extractor=dict(
            roi_layer=dict(output_size=4, sampling_ratio=2), out_channels=channels_4b
        ),
        bbox_head=dict(in_channels=channels_5b, roi_feat_size=2, num_classes=4),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=600, max_per_img=200),
        rcnn=dict(sampler=dict(num=16, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=50), rcnn=dict(score_thr=0.05, max_per_img=30)),
)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, weight_decay=0.05),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        by_epoch=True,
        T_max=max_epochs,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(interval=max_epochs, max_keep_ckpts=1)
)

# The demo's teacher: EfficientNet-Lite0 with its ImageNet weights, on drawn shapes.
_base_ = [
    '../_base_/models/faster-rcnn_efficientnet-lite0-fpn.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
max_epochs = 3

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    # The shapes are small: strides 8 and 16 are enough.
    backbone=dict(out_indices=(2, 3), frozen_stages=2),
    neck=dict(in_channels=[40, 112], out_channels=64, num_outs=2),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(output_size=5), out_channels=64, featmap_strides=[8]
        ),
        bbox_head=dict(in_channels=64, roi_feat_size=5, fc_out_channels=256, num_classes=4),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=50), rcnn=dict(score_thr=0.05)),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=0.001),
    # The heads begin at random, the backbone with ImageNet's weights.
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(backbone=dict(lr_mult=0.5))),
)
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=max_epochs, max_keep_ckpts=1))

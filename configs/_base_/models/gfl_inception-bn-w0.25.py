# GFL on the stride-16 feature map of an Inception-BN of 0.25 times the width in every layer, for
# images of a few hundred pixels. A dense head with distributions of the edges: what LD and CrossKD
# compare.
model = dict(
    type='SingleStageDetector',  # mmdet's GFL needs a neck
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[104, 117, 128],
        std=[58, 58, 58],
        bgr_to_rgb=False,
        pad_size_divisor=16,
    ),
    backbone=dict(
        type='InceptionBN',
        variant='caffe',
        width=0.25,
        out_layers=('4b',),
        frozen_stages=-1,
        norm_eval=False,
    ),
    bbox_head=dict(
        type='GFLHead',
        num_classes=20,
        in_channels=144,  # 4b
        feat_channels=64,
        stacked_convs=3,
        norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=3,
            scales_per_octave=1,
            strides=[16],
        ),
        reg_max=8,
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1, debug=False
    ),
    test_cfg=dict(
        nms_pre=300,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=30,
    ),
)

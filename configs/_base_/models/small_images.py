# What a model changes for images of a few hundred pixels: a smaller RPN, smaller regions, fewer
# proposals. A config that has this file among its bases takes it in by
#   model = dict(**_base_.small_images)
small_images = dict(
    data_preprocessor=dict(std=[58, 58, 58], pad_size_divisor=16),
    rpn_head=dict(feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(output_size=4, sampling_ratio=2)),
        bbox_head=dict(roi_feat_size=2),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=600, max_per_img=200),
        rcnn=dict(sampler=dict(num=16, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=50), rcnn=dict(score_thr=0.05, max_per_img=30)),
)

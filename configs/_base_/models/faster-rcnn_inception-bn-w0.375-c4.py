# Faster R-CNN on an Inception-BN of 0.375 times the width in every layer, C4 style.
_base_ = './faster-rcnn_inception-bn-c4.py'

model = dict(
    backbone=dict(width=0.375),
    rpn_head=dict(in_channels=216),  # 4b
    roi_head=dict(
        shared_head=dict(width=0.375),
        bbox_roi_extractor=dict(out_channels=216),  # 4b
        bbox_head=dict(in_channels=392),  # 5b
    ),
)

# Faster R-CNN with an FPN on EfficientNet-Lite0 and its ImageNet weights.
_base_ = './faster-rcnn_efficientnet-lite2-fpn.py'

model = dict(
    backbone=dict(model_name='tf_efficientnet_lite0', pretrained='efficientnet-lite0'),
    neck=dict(in_channels=[40, 112, 320]),
)

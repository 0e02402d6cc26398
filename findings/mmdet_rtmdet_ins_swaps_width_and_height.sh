#!/usr/bin/env bash
# The masks of RTMDet-Ins for an image that was not resized alike in both directions, such as one of
# 100 × 200 pixels brought to 64 × 64 by Resize(keep_ratio=False).
#
# One would guess: masks of 100 × 200 pixels, as the image.
# What happens (mmdet 3.3.0): the height is multiplied by the factor of the width, and the width by
# that of the height; then the result is cut to the image. The mask has 100 × 100 pixels, stretched
# wrongly. With keep_ratio=True the two factors differ by the rounding alone.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'mask of an image of 100 × 200 pixels: 100 × 100' <<'PYTHON'
import no_ops
import torch
from mmdet.models.dense_heads import rtmdet_ins_head
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

# NMS is an op of mmcv; this one keeps everything.
rtmdet_ins_head.batched_nms = lambda boxes, scores, labels, options: (
    torch.cat([boxes, scores[:, None]], 1), torch.arange(len(boxes))
)
head = rtmdet_ins_head.RTMDetInsHead(
    num_classes=1,
    in_channels=32,
    feat_channels=32,
    num_prototypes=8,
    anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8]),
    bbox_coder=dict(type='DistancePointBBoxCoder'),
)
sizes = head.weight_nums, head.bias_nums
found = InstanceData(
    bboxes=torch.tensor([[1.0, 1, 60, 60]]),
    scores=torch.tensor([0.9]),
    labels=torch.tensor([0]),
    priors=torch.tensor([[32.0, 32, 8, 8]]),
    kernels=torch.zeros(1, sum(sizes[0] + sizes[1])),
)
masks = head._bbox_mask_post_process(
    found,
    torch.zeros(1, 8, 8, 8),
    ConfigDict(
        mask_thr_binary=0.5, min_bbox_size=0, nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100, score_thr=0.05,
    ),
    rescale=True,
    with_nms=True,
    img_meta=dict(scale_factor=(64 / 200, 64 / 100), ori_shape=(100, 200)),
).masks
print(f'mask of an image of 100 × 200 pixels: {masks.shape[1]} × {masks.shape[2]}')
PYTHON

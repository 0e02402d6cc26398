#!/usr/bin/env bash
# SSD, as mmdet ships it: train it, then validate.
#
# One would guess: it predicts as other one-stage detectors do.
# What happens (mmdet 3.3.0): SSDHead has no attribute loss_cls, and the prediction that it inherits
# asks for one. Training works, and the first validation ends with an AttributeError.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'AttributeError: '\''SSDHead'\'' object has no attribute '\''loss_cls'\' <<'PYTHON'
import no_ops
import torch
from mmdet.models import SSDHead
from mmengine.config import ConfigDict

head = SSDHead(
    num_classes=2,
    in_channels=(8,),
    anchor_generator=dict(
        type='SSDAnchorGenerator', scale_major=False, input_size=300, strides=[8], ratios=[[2]],
        min_sizes=[30], max_sizes=[60],
    ),
    test_cfg=ConfigDict(
        nms_pre=10, nms=dict(type='nms', iou_threshold=0.45), min_bbox_size=0, score_thr=0.02,
        max_per_img=5,
    ),
)
features = (torch.zeros(1, 8, 4, 4),)
try:
    head.predict_by_feat(
        *head(features), batch_img_metas=[dict(img_shape=(32, 32), scale_factor=(1, 1))], rescale=False
    )
except Exception as error:
    print(f'{type(error).__name__}: {error}')
PYTHON

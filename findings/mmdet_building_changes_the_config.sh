#!/usr/bin/env bash
# The config of a DETR, from which a second detector is built, such as the teacher of the first.
#
# One would guess: building reads a config.
# What happens (mmdet 3.3.0): it writes into it. loss_cls has lost bg_cls_weight, by which the
# background counts a tenth, and its class_weight is now a tensor. A second building fails.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'after building, bg_cls_weight: gone, class_weight: Tensor; building again: AssertionError' <<'PYTHON'
import no_ops
from mmdet.models import DETRHead
from mmdet.registry import MODELS

loss = dict(
    type='CrossEntropyLoss', bg_cls_weight=0.1, use_sigmoid=False, loss_weight=1.0, class_weight=1.0
)
config = dict(
    type='DETRHead',
    num_classes=1,
    embed_dims=8,
    loss_cls=loss,
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner', match_costs=[dict(type='ClassificationCost', weight=1.0)]
        )
    ),
)
MODELS.build(config)
try:
    MODELS.build(config)
    again = 'built'
except AssertionError as error:
    again = type(error).__name__
print(
    f'after building, bg_cls_weight: {loss.get("bg_cls_weight", "gone")}, '
    f'class_weight: {type(loss["class_weight"]).__name__}; building again: {again}'
)
PYTHON

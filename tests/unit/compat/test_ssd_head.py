"""SSD predicts, though mmdet's own SSDHead lacks an attribute that its prediction reads."""

import torch
from mmdet.models import SSDHead
from mmengine.config import ConfigDict


def test_an_ssd_head_finds_the_anchor_that_its_logits_and_deltas_describe():
    head = SSDHead(
        num_classes=2,
        in_channels=(8,),
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            input_size=300,
            strides=[100],
            ratios=[[2]],
            min_sizes=[50],
            max_sizes=[80],
        ),
        test_cfg=ConfigDict(
            nms_pre=10,
            nms=dict(type='nms', iou_threshold=0.45),
            min_bbox_size=0,
            score_thr=0.5,
            max_per_img=5,
        ),
    )
    (anchors,) = head.prior_generator.num_base_priors
    logits, deltas = torch.zeros(1, anchors * 3, 2, 2), torch.zeros(1, anchors * 4, 2, 2)
    logits[0, 2] = -9.0  # the first anchor at every position is no background,
    logits[0, 1, 1, 0] = 9.0  # and at the second row and first column it is of class 1
    (found,) = head.predict_by_feat(
        [logits], [deltas], batch_img_metas=[dict(img_shape=(300, 300), scale_factor=(1, 1))]
    )
    best = found[found.scores > 0.99]
    assert best.labels.tolist() == [1]
    assert best.bboxes.tolist() == [[25.0, 125.0, 75.0, 175.0]]  # 50 wide, around (50, 150)

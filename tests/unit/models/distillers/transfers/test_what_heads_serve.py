"""Which dense heads of mmdet have what the losses between predictions compare."""

import functools

import pytest
from mmdet.registry import MODELS
from torch import nn

from nst_det.config.load import load_config
from nst_det.errors import UserError
from nst_det.models.distillers.transfers.build import build_transfers

KD, LD, CROSS, QUERIES = 'KDLoss', 'LDLoss', 'CrossKDLoss', 'MatchedQueryLoss'
SERVED = {
    'retinanet/retinanet_r50_fpn_1x_coco.py': {KD, CROSS},
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py': {KD, CROSS},
    'fsaf/fsaf_r50_fpn_1x_coco.py': {KD, CROSS},
    'atss/atss_r50_fpn_1x_coco.py': {KD, CROSS},
    'paa/paa_r50_fpn_1x_coco.py': {KD, CROSS},
    'gfl/gfl_r50_fpn_1x_coco.py': {KD, LD, CROSS},
    'ddod/ddod_r50_fpn_1x_coco.py': {KD},
    'vfnet/vfnet_r50_fpn_1x_coco.py': {KD},
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py': {KD},
    'yolox/yolox_tiny_8xb8-300e_coco.py': {KD},
    'yolof/yolof_r50-c5_8xb8-1x_coco.py': {KD},
    'reppoints/reppoints-moment_r50_fpn_1x_coco.py': {KD},
    'ssd/ssd300_coco.py': {KD},
    'tood/tood_r50_fpn_1x_coco.py': set(),
    'yolo/yolov3_d53_8xb8-320-273e_coco.py': set(),
    'centernet/centernet_r18_8xb16-crop512-140e_coco.py': set(),
    'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py': set(),
}


class HeadAlone(nn.Module):
    """A detector without backbone and neck: the transfers check its head alone."""

    def __init__(self, bbox_head):
        super().__init__()
        self.bbox_head = bbox_head


@functools.cache
def detector(config):
    model = load_config(f'mmdet::{config}').model
    settings = dict(train_cfg=model.get('train_cfg'), test_cfg=model.get('test_cfg'))
    return HeadAlone(MODELS.build({**model.bbox_head, **settings}))


@pytest.mark.parametrize('loss', [KD, LD, CROSS, QUERIES])
@pytest.mark.parametrize('config', SERVED)
def test_a_head_serves_a_loss_or_is_refused_in_one_line(config, loss):
    (transfer,) = build_transfers([dict(loss=dict(type=loss))])
    for check in (transfer.check_student, transfer.check_teacher):
        if loss in SERVED[config]:
            check(detector(config))
        else:
            with pytest.raises(UserError, match=f"^{loss}[^\n]* the (student|teacher)'s [^\n]*$"):
                check(detector(config))

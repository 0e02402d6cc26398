"""A student whose weights tell detections apart, without a training."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn


@pytest.fixture
def distilled(tiny_distiller, tmp_path):
    """``distilled(**changes)`` gives a distiller's config and a checkpoint of its student."""

    def make(**changes):
        cfg = tiny_distiller(**changes)
        torch.manual_seed(3)
        student = MODELS.build(cfg.model.student)
        student.init_weights()
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight.data, module.running_var):
                    tensor.uniform_(0.5, 2)
                for tensor in (module.bias.data, module.running_mean):
                    tensor.normal_(0, 0.2)
        student.rpn_head.rpn_cls.weight.data.normal_(0, 0.5)
        student.roi_head.bbox_head.fc_cls.weight.data.normal_(0, 2)
        checkpoint = tmp_path / 'distilled.pth'
        torch.save(dict(state_dict=student.state_dict(), meta=dict(epoch=2)), checkpoint)
        return cfg, str(checkpoint)

    return make

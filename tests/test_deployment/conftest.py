"""A student whose weights tell detections apart, without a training."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from nst_det.models.distillers.noise_batch import noise


@pytest.fixture
def distilled(tiny_distiller, tmp_path):
    """``distilled(**changes)`` gives a distiller's config and a checkpoint of its student."""

    def make(**changes):
        cfg = tiny_distiller(**changes)
        torch.manual_seed(3)
        student = MODELS.build(cfg.model.student)
        student.init_weights()
        norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.weight.data.uniform_(0.5, 2)
            norm.bias.data.normal_(0, 0.2)
            norm.momentum = 1.0  # so that one batch says what mean and variance are
        with torch.no_grad():
            student.train()(**noise(student, (64, 64)), mode='tensor')
        student.rpn_head.rpn_cls.weight.data.normal_(0, 0.1)
        student.roi_head.bbox_head.fc_cls.weight.data.normal_(0, 0.05)
        checkpoint = tmp_path / 'distilled.pth'
        torch.save(dict(state_dict=student.state_dict(), meta=dict(epoch=2)), checkpoint)
        return cfg, str(checkpoint)

    return make

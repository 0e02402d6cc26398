"""A student whose weights tell detections apart, without a training."""

import pytest
import torch
from distinct_detections import make_detections_distinct
from mmdet.registry import MODELS


@pytest.fixture
def distilled(tiny_distiller, tmp_path):
    """``distilled(**changes)`` gives a distiller's config and a checkpoint of its student."""

    def make(**changes):
        cfg = tiny_distiller(**changes)
        torch.manual_seed(3)
        student = MODELS.build(cfg.model.student)
        student.init_weights()
        make_detections_distinct(student)
        checkpoint = tmp_path / 'distilled.pth'
        torch.save(dict(state_dict=student.state_dict(), meta=dict(epoch=2)), checkpoint)
        return cfg, str(checkpoint)

    return make

"""A detector whose weights tell detections apart, without a training."""

import torch
from torch import nn

from nst_det.models.distillers.taps.dummy_batch import dummy_batch


def make_detections_distinct(detector: nn.Module) -> None:
    """Give a two-stage detector on Inception-BN weights by which its scores differ clearly.

    Args:
        detector (nn.Module): The detector; it is changed.
    """
    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.uniform_(0.5, 2)
        norm.bias.data.normal_(0, 0.2)
        norm.momentum = 1.0  # so that one batch says what mean and variance are
    with torch.no_grad():
        detector.train()(**dummy_batch(detector, (64, 64)), mode='tensor')
    detector.rpn_head.rpn_cls.weight.data.normal_(0, 0.1)
    # Not larger: where scores are 1.0, they are equal.
    detector.roi_head.bbox_head.fc_cls.weight.data.normal_(0, 0.01)

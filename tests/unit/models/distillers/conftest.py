"""Fixtures for the tests of the distillers."""

from collections.abc import Callable

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn


@pytest.fixture
def padded_batch() -> Callable[[nn.Module], dict]:
    """A function that makes a batch of two images, the second with padding right and below."""

    def make(model: nn.Module) -> dict:
        images, samples = [], []
        for size in [(64, 96), (33, 56)]:
            images.append(torch.randint(0, 256, (3, *size), dtype=torch.uint8))
            info = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
            box = torch.tensor([[2.0, 2, 30, 30]])
            objects = InstanceData(bboxes=box, labels=torch.tensor([1]))
            samples.append(DetDataSample(gt_instances=objects, metainfo=info))
        return model.data_preprocessor(dict(inputs=images, data_samples=samples), True)

    return make

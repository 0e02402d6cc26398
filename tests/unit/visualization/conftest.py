"""Fixtures for the tests of the figures."""

import numpy as np
import pytest
import torch

from nst_det.models.losses import PolynomialKernel
from nst_det.visualization import LayerView


@pytest.fixture
def view() -> LayerView:
    """A view of random feature maps: one student is far from the teacher, one is close."""
    random = torch.Generator().manual_seed(0)
    teacher = torch.rand(12, 5, 6, generator=random).relu() ** 4
    far = torch.rand(8, 5, 6, generator=random)
    return LayerView(
        name='image',
        layer='backbone.inception_4b',
        image=np.full((80, 96, 3), 90, np.uint8),
        strides=(16, 16),
        kernel=PolynomialKernel(),
        teacher=teacher,
        students={'before': far, 'after': teacher[torch.randperm(12, generator=random)][:8]},
    )

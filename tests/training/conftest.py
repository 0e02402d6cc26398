"""What the tests of a training share."""

from functools import partial

import pytest
import torch
from mmengine.optim.optimizer import amp_optimizer_wrapper


@pytest.fixture
def amp_on_cpu(monkeypatch):
    """Lets mmengine's AmpOptimWrapper, which asks for a GPU, do here what it does there."""
    if not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('torch before 2.3 has no GradScaler for a CPU')
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    monkeypatch.setattr('mmengine.runner.amp.autocast', partial(torch.autocast, 'cpu'))

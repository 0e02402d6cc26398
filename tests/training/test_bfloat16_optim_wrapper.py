"""A training in bfloat16 on a CPU: convolutions in bfloat16, weights and losses in float32."""

import pytest
import torch
from mmengine.runner import Runner

from nst_det.engine import bfloat16_optim_wrapper


def first_loss(cfg, name):
    """Train one epoch; give the runner, the type of each tapped feature map, and the losses."""
    cfg.work_dir = f'{cfg.work_dir}/{name}'
    cfg.train_cfg.max_epochs = 1
    cfg.experiment_name = name  # else two within a second share their message hub
    runner = Runner.from_cfg(cfg)
    types = []
    runner.model.backbone.inception_4b.register_forward_hook(
        lambda module, args, out: types.append((module.training, out.dtype))
    )
    runner.train()
    return runner, types, runner.message_hub.get_scalar('train/loss').data[0][0]


def test_a_distilled_training_in_bfloat16_begins_with_nearly_the_same_loss(
    either_distiller, monkeypatch
):
    monkeypatch.setattr(bfloat16_optim_wrapper, 'is_native', lambda precision, device: True)
    _, plain, expected = first_loss(either_distiller(), 'float32')
    cfg = either_distiller()
    cfg.optim_wrapper.type = 'Bfloat16OptimWrapper'
    runner, types, loss = first_loss(cfg, 'bfloat16')
    assert {dtype for _, dtype in plain} == {torch.float32}
    assert {dtype for training, dtype in types if training} == {torch.bfloat16}
    assert {dtype for training, dtype in types if not training} == {torch.float32}
    assert {value.dtype for value in runner.model.parameters()} == {torch.float32}
    assert loss == pytest.approx(expected, rel=0.02)
    assert loss != expected


def test_a_device_that_would_emulate_bfloat16_trains_in_float32(tiny_distiller, monkeypatch):
    monkeypatch.setattr(bfloat16_optim_wrapper, 'is_native', lambda precision, device: False)
    cfg = tiny_distiller()
    cfg.optim_wrapper.type = 'Bfloat16OptimWrapper'
    _, types, _ = first_loss(cfg, 'emulated')
    assert {dtype for _, dtype in types} == {torch.float32}

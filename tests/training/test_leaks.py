"""A long distillation holds no more memory, files, threads or hooks than a short one."""

import gc
import os
import threading

import pytest
from mmdet.registry import MODELS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn


@MODELS.register_module()
class OneLayer(nn.Module):
    """The smallest backbone of stride 16, because there are many steps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, channels, 16, 16), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layer(x),)


def held(runner: Runner) -> dict[str, int]:
    """Measure what this process holds: memory in KiB, and counts of the rest."""
    gc.collect()
    model, optimizer = runner.model, runner.optim_wrapper.optimizer
    owners = [model, *model.student.modules(), *model.teacher.detector.modules()]
    owners += [*model.parameters(), optimizer]
    with open('/proc/self/status') as status:
        memory = next(line for line in status if line.startswith('VmRSS:'))
    return dict(
        memory=int(memory.split()[1]),
        objects=len(gc.get_objects()),
        files=len(os.listdir('/proc/self/fd')),
        threads=threading.active_count(),
        hooks=sum(
            len(getattr(owner, name) or ())
            for owner in owners
            for name in dir(owner)
            if name.endswith('_hooks') and isinstance(getattr(owner, name), dict)
        ),
    )


class Hold(Hook):
    """Measures after each epoch what the process holds."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.epochs: list[dict[str, int]] = []

    def after_train_epoch(self, runner: Runner) -> None:
        self.epochs.append(held(runner))


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='it counts what /proc lists')
@pytest.mark.parametrize(
    ('epochs', 'workers', 'growth'),
    [
        pytest.param(4, 0, 4, id='160 steps'),
        pytest.param(250, 1, 16, id='10000 steps', marks=pytest.mark.slow),
    ],
)
def test_a_long_distillation_holds_no_more_than_a_short_one(
    tiny_distiller, dense_detector, epochs, workers, growth
):
    cfg = tiny_distiller()
    student, teacher = (
        dense_detector(dict(type='OneLayer', channels=channels), width=channels / 576)
        for channels in (8, 16)
    )
    cfg.model.student = student
    cfg.model.teacher = dict(config=teacher, checkpoint='random')
    cfg.model.transfers = [
        dict(layer='backbone', loss=dict(type='NSTLoss')),
        dict(layer='backbone', loss=dict(type='FitNetLoss')),
        dict(loss=dict(type='KDLoss')),
    ]
    cfg.model.monitor_interval = 10
    cfg.custom_hooks += [dict(type='EMAHook'), dict(type='TransferWeightHook', warmup=20)]
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    loader = cfg.train_dataloader
    loader.dataset = dict(type='RepeatDataset', times=10, dataset=loader.dataset)
    loader.update(batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    cfg.train_cfg.update(max_epochs=epochs, val_interval=2)
    runner = Runner.from_cfg(cfg)
    hold = Hold()
    runner.register_hook(hold)
    runner.train()
    warm = max(3, epochs // 10)
    first, last = hold.epochs[warm - 1], hold.epochs[-1]
    steps = runner.iter // epochs
    print(f'after {warm * steps} steps {first}, after {epochs * steps} steps {last}')
    for kind in ('files', 'threads', 'hooks'):
        assert last[kind] == first[kind], kind
    assert last['objects'] - first['objects'] < 100
    assert last['memory'] - first['memory'] < growth * 1024

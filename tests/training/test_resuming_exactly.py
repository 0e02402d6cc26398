"""A training that is interrupted and resumed ends with the weights of an uninterrupted one."""

import random
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

EMA = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.1, update_buffers=True)


class Interrupted(Exception):
    pass


class InterruptAfter(Hook):
    """Interrupts a training after an iteration."""

    priority = 'LOWEST'

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter + 1 == self.iteration:
            raise Interrupted


def train(cfg, name: str, interrupt_after: int | None = None, resume: bool = False) -> Path:
    """Train with generators in a state that no other training left."""
    random.seed(name)
    np.random.seed(len(name))
    torch.manual_seed(len(name))
    cfg = deepcopy(cfg)
    cfg.work_dir += f'_{name.split("/")[0]}'
    cfg.experiment_name = cfg.work_dir + name.replace('/', '_')
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    if interrupt_after is not None:
        runner.register_hook(InterruptAfter(interrupt_after))
        with pytest.raises(Interrupted):
            runner.train()
    else:
        runner.train()
    return Path((Path(cfg.work_dir) / 'last_checkpoint').read_text())


def assert_equal(value: object, expected: object, where: str = '') -> None:
    """Check that two checkpoints hold the same training, bit for bit."""
    if isinstance(value, torch.Tensor):
        assert torch.equal(value, expected), where
    elif isinstance(value, dict):
        assert value.keys() == expected.keys(), where
        for key in value:
            assert_equal(value[key], expected[key], f'{where}.{key}')
    elif isinstance(value, (list, tuple)):
        assert len(value) == len(expected), where
        for i, (left, right) in enumerate(zip(value, expected)):
            assert_equal(left, right, f'{where}[{i}]')
    else:
        assert value == expected, where


def check_same_training(checkpoint: Path, expected: Path) -> None:
    left, right = torch.load(checkpoint), torch.load(expected)
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict', 'gradients'):
        assert_equal(left.get(part, {}), right.get(part, {}), part)
    assert left['meta']['iter'] == right['meta']['iter']


def check_resumed_training(cfg, interrupt_after: int) -> None:
    uninterrupted = train(cfg, 'uninterrupted')
    train(cfg, 'resumed/first', interrupt_after)
    check_same_training(uninterrupted, train(cfg, 'resumed/second', resume=True))


@pytest.fixture
def with_all_randomness(tiny_distiller):
    """A distillation with random numbers in pipeline, iteration and validation, and an EMA."""

    def load(**changes):
        cfg = tiny_distiller(**{'train_cfg.val_interval': 1, 'train_cfg.max_epochs': 3})
        cfg.train_dataloader.batch_size = 2  # 4 iterations an epoch
        cfg.custom_hooks = [
            *cfg.custom_hooks,
            EMA,
            dict(type='TransferWeightHook', warmup=2, start_factor=0.1, decay=(4, 10)),
        ]
        cfg.merge_from_dict(changes)
        return cfg

    return load


BY_ITERATION = {'default_hooks.checkpoint.by_epoch': False}


@pytest.mark.parametrize(
    ('changes', 'interrupt_after'),
    [
        pytest.param({}, 6, id='in the second epoch', marks=pytest.mark.slow),
        pytest.param({**BY_ITERATION, 'default_hooks.checkpoint.interval': 3}, 7, id='mid-epoch'),
        pytest.param(
            {**BY_ITERATION, 'default_hooks.checkpoint.interval': 4},
            8,
            id='at its end',
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                **BY_ITERATION,
                'default_hooks.checkpoint.interval': 3,
                'optim_wrapper.accumulative_counts': 2,
            },
            4,
            id='gradients accumulated',
        ),
        pytest.param(
            {
                **BY_ITERATION,
                'default_hooks.checkpoint.interval': 3,
                'model.transfers.0.loss.loss_weight': dict(_delete_=True, ratio=2.0, iterations=5),
            },
            4,
            id='amid the measurement of a weight',
        ),
        pytest.param(
            {
                **BY_ITERATION,
                'default_hooks.checkpoint.interval': 3,
                'train_dataloader.num_workers': 2,
                'train_dataloader.persistent_workers': True,
            },
            7,
            id='data workers',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_training_by_epochs_resumes_bit_for_bit(with_all_randomness, changes, interrupt_after):
    check_resumed_training(with_all_randomness(**changes), interrupt_after)


@pytest.mark.parametrize(
    'sampler', ['InfiniteSampler', pytest.param('DefaultSampler', marks=pytest.mark.slow)]
)
def test_a_training_by_iterations_resumes_bit_for_bit(with_all_randomness, sampler, monkeypatch):
    monkeypatch.setattr(
        'time.sleep', lambda seconds: None
    )  # mmengine sleeps at the end of the data
    cfg = with_all_randomness(**BY_ITERATION)
    cfg.train_dataloader.sampler = dict(type=sampler, shuffle=True)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=9, val_interval=2)
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=8)]
    cfg.default_hooks.checkpoint.interval = 2
    cfg.log_processor = dict(type='LogProcessor', by_epoch=False)
    check_resumed_training(cfg, 5)

"""A training that was cut and resumed ends with the weights of the one that was not."""

import random
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

EMA = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.1, update_buffers=True)


class Cut(Exception):
    pass


class CutAfter(Hook):
    """Ends a training in the middle of things."""

    priority = 'LOWEST'

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter + 1 == self.iteration:
            raise Cut


def train(cfg, name: str, cut_after: int | None = None, resume: bool = False) -> Path:
    """Train in this process, whose generators know nothing of an earlier training's."""
    random.seed(name)
    np.random.seed(len(name))
    torch.manual_seed(len(name))
    cfg = deepcopy(cfg)
    cfg.work_dir += f'_{name.split("/")[0]}'
    cfg.experiment_name = cfg.work_dir + name.replace('/', '_')
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    if cut_after is not None:
        runner.register_hook(CutAfter(cut_after))
        with pytest.raises(Cut):
            runner.train()
    else:
        runner.train()
    return Path((Path(cfg.work_dir) / 'last_checkpoint').read_text())


def same(one: object, other: object, where: str = '') -> None:
    """Check that two checkpoints hold the same training, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for i, (left, right) in enumerate(zip(one, other)):
            same(left, right, f'{where}[{i}]')
    else:
        assert one == other, where


def check_same_training(one: Path, other: Path) -> None:
    left, right = torch.load(one), torch.load(other)
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict', 'gradients'):
        same(left.get(part, {}), right.get(part, {}), part)
    assert left['meta']['iter'] == right['meta']['iter']


def check_cut_is_healed(cfg, cut_after: int) -> None:
    whole = train(cfg, 'whole')
    train(cfg, 'cut/first', cut_after)
    check_same_training(whole, train(cfg, 'cut/second', resume=True))


@pytest.fixture
def every_random_part(tiny_distiller):
    """A distillation that draws in the pipeline, in the step and in the validation, with an EMA."""

    def load(**changes):
        cfg = tiny_distiller(**{'train_cfg.val_interval': 1, 'train_cfg.max_epochs': 3})
        cfg.train_dataloader.batch_size = 2  # 4 iterations an epoch
        cfg.custom_hooks = [
            *cfg.custom_hooks,
            EMA,
            dict(type='TransferWeightHook', warmup=2, decay=(4, 10)),
        ]
        cfg.merge_from_dict(changes)
        return cfg

    return load


BY_ITERATION = {'default_hooks.checkpoint.by_epoch': False}


@pytest.mark.parametrize(
    ('changes', 'cut_after'),
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
                'train_dataloader.num_workers': 2,
                'train_dataloader.persistent_workers': True,
            },
            7,
            id='data workers',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_by_epochs_a_cut_training_resumes_exactly(every_random_part, changes, cut_after):
    check_cut_is_healed(every_random_part(**changes), cut_after)


@pytest.mark.parametrize(
    'sampler', ['InfiniteSampler', pytest.param('DefaultSampler', marks=pytest.mark.slow)]
)
def test_by_iterations_a_cut_training_resumes_exactly(every_random_part, sampler, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # mmengine's, at the data's end
    cfg = every_random_part(**BY_ITERATION)
    cfg.train_dataloader.sampler = dict(type=sampler, shuffle=True)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=9, val_interval=2)
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=8)]
    cfg.default_hooks.checkpoint.interval = 2
    cfg.log_processor = dict(type='LogProcessor', by_epoch=False)
    check_cut_is_healed(cfg, 5)

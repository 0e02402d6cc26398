"""The start of a training and of a test: checked first, each checkpoint read once."""

import weakref

import pytest
import torch
from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import Hook

from nst_det.engine.runner import start
from nst_det.engine.runner.start import start_testing, start_training
from nst_det.errors import UserError
from nst_det.fileio import checkpoint


@pytest.fixture
def read(monkeypatch):
    """Weak references to a weight of each checkpoint that is read."""
    references = []
    read_file = checkpoint._read

    def watch(*args):
        content = read_file(*args)
        weights = content.get('state_dict', content)
        references.append(weakref.ref(next(iter(weights.values()))))
        return content

    monkeypatch.setattr(checkpoint, '_read', watch)
    return references


@pytest.fixture
def alive(monkeypatch, read):
    """How many checkpoints were still in memory as each epoch of training or testing began."""
    counts = []

    class CountHook(Hook):
        def _before_epoch(self, runner, mode='train'):
            counts.append(sum(reference() is not None for reference in read))

    HOOKS.register_module(module=CountHook, force=True)
    yield counts
    HOOKS.module_dict.pop('CountHook')


@pytest.fixture
def weights(tiny_config, tmp_path):
    detector = MODELS.build(tiny_config('student').model)
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / 'start.pth')
    return str(tmp_path / 'start.pth')


def test_a_checkpoint_to_start_from_is_out_of_memory_before_the_first_epoch(
    tiny_config, weights, read, alive
):
    cfg = tiny_config('student', load_from=weights)
    cfg.custom_hooks.append(dict(type='CountHook'))
    start_training(cfg)
    assert len(read) == 1
    assert alive == [0, 0, 0]  # two epochs of training, one of validation


def test_a_resumed_checkpoint_is_out_of_memory_before_the_next_epoch(tiny_config, read, alive):
    short = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
    start_training(tiny_config('student', **short))
    alive.clear()
    cfg = tiny_config('student', resume=True)
    cfg.custom_hooks.append(dict(type='CountHook'))
    start_training(cfg)
    assert len(read) == 1
    assert alive == [0, 0]


def test_a_tested_checkpoint_is_out_of_memory_before_the_first_image(
    tiny_config, weights, read, alive
):
    cfg = tiny_config('student', load_from=weights)
    cfg.custom_hooks.append(dict(type='CountHook'))
    start_testing(cfg)
    assert len(read) == 1
    assert alive == [0]


def test_a_training_that_fails_to_start_keeps_no_checkpoint(tiny_config, weights, read):
    torch.save(dict(state_dict=dict(a=torch.ones(1))), weights)
    with pytest.raises(UserError, match=r'start\.pth is of another .* 0 of its \d+ keys fit'):
        start_training(tiny_config('student', load_from=weights))
    assert [reference() for reference in read] == [None]


def test_resuming_takes_the_seed_of_the_training(tiny_config, tmp_path):
    meta = dict(epoch=1, iter=2, seed=7)
    content = dict(state_dict={}, optimizer={}, message_hub={}, meta=meta)
    torch.save(content, tmp_path / 'epoch_1.pth')
    cfg = tiny_config('student', resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    start.check_start(cfg)
    assert cfg.randomness.seed == 7

"""The tool fills the teacher's cache, after which the teacher runs in no iteration."""

import re

import pytest
import torch
from mmengine.runner import Runner

from nst_det.models.distillers.teacher.teacher import Teacher

VIEWS = dict(type='mmdet.FixedViews', views=2)


def with_cache(cfg, tmp_path):
    """Give a distiller a cache and two views of its 8 images."""
    cfg.model.teacher.cache = str(tmp_path / 'maps')
    cfg.train_dataloader.dataset = dict(VIEWS, dataset=cfg.train_dataloader.dataset)
    return cfg


@pytest.fixture
def cached_config(tiny_distiller, tmp_path):
    return lambda **changes: with_cache(tiny_distiller(**changes), tmp_path)


def shares(runner):
    return runner.message_hub.get_scalar('train/teacher_cached').data[0].tolist()


def test_after_the_tool_the_teacher_runs_in_no_iteration(
    tool, write, either_distiller, tmp_path, monkeypatch
):
    config = write(with_cache(either_distiller(), tmp_path))
    status, out, err = tool('precompute_teacher', config)
    assert status == 0, err
    plan = re.search(
        r'16 pictures, of which about 0 are there\. The others need about (\S+) GiB \((\d+) KiB '
        r'each\) and \S+ minutes\n',
        out,
    )
    assert plan, out
    assert float(plan[1]) == pytest.approx(16 * int(plan[2]) / 2**20, abs=0.006)
    assert out.endswith('16 pictures are cached: 16 were computed, the others were there\n')
    assert '16/16' in err

    def refuse(*args):
        raise AssertionError('the teacher runs')

    monkeypatch.setattr(Teacher, '_forward', refuse)
    runner = Runner.from_cfg(with_cache(either_distiller(), tmp_path))
    runner.train()
    assert shares(runner) == [1.0] * 4


def test_a_second_call_computes_only_what_is_missing(tool, write, cached_config, tmp_path):
    tool('precompute_teacher', write(cached_config()))
    (index,) = (tmp_path / 'maps').rglob('*.index')
    index.write_bytes(index.read_bytes()[: 10 * 36])  # as if it had been interrupted
    status, out, _ = tool('precompute_teacher', write(cached_config()))
    assert status == 0
    assert '16 pictures, of which about 10 are there.' in out
    assert out.endswith('16 pictures are cached: 6 were computed, the others were there\n')


def test_several_processes_share_the_pictures(tool, write, cached_config, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank in '01':
        monkeypatch.setenv('RANK', rank)
        status, out, _ = tool('precompute_teacher', write(cached_config()))
        assert status == 0
        assert f'part {int(rank) + 1} of 2\n' in out and '8 pictures, of which' in out
        assert out.endswith('8 pictures are cached: 8 were computed, the others were there\n')
    monkeypatch.undo()


@pytest.mark.parametrize('workers', [0, 1])
def test_a_training_with_views_computes_each_picture_once(cached_config, workers):
    changes = {'train_cfg.max_epochs': 4, 'train_dataloader.num_workers': workers}
    runner = Runner.from_cfg(cached_config(**changes))
    runner.train()
    assert shares(runner) == [0.0] * 4 + [1.0] * 4


def test_the_losses_are_those_without_a_cache(cached_config, tmp_path):
    histories = []
    for cache in (str(tmp_path / 'maps'), None):
        cfg = cached_config(work_dir=str(tmp_path / f'work_{cache is None}'))
        cfg.model.teacher.cache = cache
        cfg.train_cfg.max_epochs = 4
        runner = Runner.from_cfg(cfg)
        runner.train()
        loss = runner.message_hub.get_scalar('train/loss_nst_backbone_inception_4b')
        histories.append(torch.from_numpy(loss.data[0]))
    torch.testing.assert_close(*histories, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model.teacher.cache': None}, 'the teacher of this config has no cache'),
        ({'train_dataloader.dataset.type': 'RepeatDataset'}, 'are augmented at random'),
        ({'model.teacher.cache_gib': 1e-5}, r'16 pictures need .* GiB, but of the 1e-05 GiB of '),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(tool, write, cached_config, changes, message):
    cfg = cached_config()
    cfg.merge_from_dict(changes)
    if cfg.train_dataloader.dataset.type == 'RepeatDataset':
        cfg.train_dataloader.dataset.pop('views')
        cfg.train_dataloader.dataset.times = 1
    status, _, err = tool('precompute_teacher', write(cfg))
    assert status == 2
    line = err.strip().splitlines()[-1]
    assert re.search(f'^error: .*{message}', line), err

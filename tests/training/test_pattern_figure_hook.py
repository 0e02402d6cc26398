"""PatternFigureHook draws figures, and the visualizers show them beside the losses."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from nst_det.errors import UserError

TRANSFER = 'backbone_inception_4b'


@pytest.fixture
def train(tiny_distiller, tmp_path):
    """``train(hook, …)`` trains a tiny student for two epochs and gives its runner."""

    def run(name: str, *hooks: dict, **changes) -> Runner:
        cfg = tiny_distiller(work_dir=str(tmp_path / name), **changes)
        cfg.custom_hooks = [*cfg.custom_hooks, *hooks]
        cfg.train_cfg.val_begin = 99
        cfg.visualizer.name = name  # a Visualizer of this name lives as long as the process
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    return run


def test_a_figure_is_drawn_at_the_interval_and_changes_no_training(train, distilled_run):
    runner = train('shown', dict(type='PatternFigureHook', interval=2))
    pictures = sorted(Path(runner.work_dir).glob('*/vis_data/vis_image/*.png'))
    assert [picture.name for picture in pictures] == ['patterns_backbone.inception_4b_2.png']
    assert Image.open(pictures[0]).width > 800
    expected = torch.load(f'{distilled_run.work_dir}/epoch_2.pth', weights_only=True)['state_dict']
    for key, value in expected.items():
        assert torch.equal(runner.model.state_dict()[key], value), key


def test_local_and_tensorboard_show_losses_mmd2_gradient_ratios_and_the_figure(train):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator', reason='no TensorBoard'
    )
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    runner = train(
        'both',
        dict(type='PatternFigureHook', interval=2, by_epoch=False),
        **{'visualizer.vis_backends': backends, 'model.monitor_interval': 1},
    )
    runner.visualizer.close()
    names = {f'loss_nst_{TRANSFER}', f'mmd2_{TRANSFER}', f'grad_ratio_{TRANSFER}', 'loss'}
    (folder,) = Path(runner.work_dir).glob('*/vis_data')
    lines = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    assert lines
    for line in lines:
        assert names <= set(line)
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert names <= set(events.Tags()['scalars'])
    assert events.Tags()['images'] == ['patterns_backbone.inception_4b']
    assert [image.step for image in events.Images('patterns_backbone.inception_4b')] == [2, 4]


@pytest.mark.slow  # the same as for TensorBoard, by a visualiser that starts for half a minute
def test_wandb_shows_losses_and_the_figure_without_a_network(train, monkeypatch):
    pytest.importorskip('wandb', reason='no WandB')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    runner = train(
        'wandb',
        dict(type='PatternFigureHook', interval=4, by_epoch=False),
        **{
            'visualizer.vis_backends': [dict(type='LocalVisBackend'), dict(type='WandbVisBackend')],
            'model.monitor_interval': 1,
        },
    )
    (folder,) = Path(runner.work_dir).glob('*/vis_data/wandb/offline-run-*')
    (file,) = folder.glob('run-*.wandb')  # what `wandb sync` would send
    (log,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    for name in (f'loss_nst_{TRANSFER}', f'mmd2_{TRANSFER}', f'grad_ratio_{TRANSFER}', 'loss'):
        assert name.encode() in file.read_bytes()
        assert str(last[name]).encode() in file.read_bytes()
    (picture,) = folder.glob('files/media/images/patterns_backbone.inception_4b_*.png')
    assert Image.open(picture).width > 800


def test_a_plain_detector_has_no_patterns_to_draw(tiny_config):
    cfg = tiny_config('student')
    cfg.custom_hooks = [dict(type='PatternFigureHook')]
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError, match='the model is a FasterRCNN'):
        runner.call_hook('before_train')


def test_a_missing_image_is_an_error_before_training(train):
    with pytest.raises(UserError, match=r'there is no image .*gone\.jpg'):
        train('gone', dict(type='PatternFigureHook', image='gone.jpg'))

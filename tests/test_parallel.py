"""One training spread over processes, as ``tools/dist_train.sh`` starts them, on CPUs."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device
from mmengine.runner import Runner

from nst_det.errors import UserError
from nst_det.parallel import check_parallel

ROOT = Path(__file__).resolve().parents[1]
LAYER = 'backbone.inception_4b'
TRANSFERS = [
    dict(layer=LAYER, loss=dict(type='NSTLoss', loss_weight=5.0)),
    dict(layer=LAYER, loss=dict(type='ATLoss', loss_weight=2.0)),
    dict(layer=LAYER, loss=dict(type='FitNetLoss', loss_weight=1.0)),
    dict(loss=dict(type='KDLoss', loss_weight=0.5)),
]
# What the log of each process knows of its own images, for the test to take the mean of.
KEEP_LOSSES = """
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class KeepLosses(Hook):
    def after_train(self, runner):
        history = {
            name: torch.as_tensor(scalar.data[0])
            for name, scalar in runner.message_hub.log_scalars.items()
            if 'loss' in name
        }
        losses = runner.message_hub.get_info('nst_det.trained_losses', {})
        weights = {key: value.detach().clone() for key, value in losses.items()}
        torch.save((history, weights), f'{runner.work_dir}/losses_{runner.rank}.pt')
"""


def detector(width: float) -> dict:
    """A dense detector whose loss knows no chance."""
    return dict(
        type='SingleStageDetector',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3),
        backbone=dict(type='InceptionBN', width=width, norm_eval=True),
        bbox_head=dict(
            type='ATSSHead',
            num_classes=4,
            in_channels=int(576 * width),
            feat_channels=32,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                ratios=[1.0],
                octave_base_scale=2,
                scales_per_octave=1,
                strides=[16],
            ),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
        ),
        train_cfg=dict(
            assigner=dict(type='ATSSAssigner', topk=4), allowed_border=-1, pos_weight=-1
        ),
        test_cfg=dict(nms_pre=10, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
    )


def sample_everything(faster_rcnn: dict) -> None:
    """Make a two-stage detector take all it could sample, as many of each image."""
    faster_rcnn.backbone.norm_eval = faster_rcnn.roi_head.shared_head.norm_eval = True
    train = faster_rcnn.train_cfg
    train.rpn.assigner.update(pos_iou_thr=0.5, neg_iou_thr=0.5)
    train.rcnn.assigner.update(pos_iou_thr=0.2, neg_iou_thr=0.2, min_pos_iou=0.2)
    train.rcnn.sampler.add_gt_as_proposals = False
    for stage in (train.rpn, train.rcnn):
        stage.sampler.num = 10**6
    train.rpn_proposal.update(
        nms_pre=30, max_per_img=30, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=1.0)
    )


def started_by(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run one of the shell tools."""
    return subprocess.run(
        [ROOT / 'tools' / script, *map(str, arguments)],
        env={**os.environ, 'PYTHON': sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def results(work_dir: Path) -> tuple[dict, dict, dict]:
    """The weights, the trained losses' weights, and each loss's mean over the processes."""
    weights = torch.load(work_dir / 'epoch_2.pth', weights_only=True)['state_dict']
    kept = [torch.load(file) for file in work_dir.glob('losses_*.pt')]
    losses = {
        name: torch.stack([history[name] for history, _ in kept]).double().mean(0)
        for name in kept[0][0]
    }
    return weights, kept[0][1], losses


@pytest.mark.skipif(get_device() != 'cpu', reason='gloo and its two processes are for CPUs')
@pytest.mark.parametrize(
    'stages', ['one', pytest.param('two', marks=pytest.mark.slow)], ids='{}_stage'.format
)
def test_two_processes_train_as_one_does_with_the_whole_batch(
    tiny_distiller, tmp_path, monkeypatch, stages
):
    cfg = tiny_distiller()
    if stages == 'one':
        cfg.model.student = detector(0.125)
        cfg.model.teacher = dict(config=detector(0.25), checkpoint='random')
    else:
        sample_everything(cfg.model.student)
    cfg.model.transfers = TRANSFERS
    (tmp_path / 'keep_losses.py').write_text(KEEP_LOSSES)
    monkeypatch.syspath_prepend(tmp_path)
    cfg.custom_imports = dict(imports=['nst_det', 'keep_losses'], allow_failed_imports=False)
    cfg.custom_hooks.append(dict(type='KeepLosses'))
    cfg.train_dataloader.sampler.shuffle = False
    cfg.train_dataloader.dataset.pipeline[2].prob = 0.0  # flips are each process's own chance
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.02, momentum=0.9),
        clip_grad=dict(max_norm=1.0),  # nothing tames the activations of untrained frozen norms
    )
    cfg.param_scheduler = []
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(tmp_path / 'config.py')
    importlib.import_module('keep_losses')
    Runner.from_cfg(cfg).train()
    path = f'{ROOT}:{tmp_path}'
    options = ['--work-dir', tmp_path / 'two', '--cfg-options', 'train_dataloader.batch_size=2']
    run = started_by(
        'dist_train.sh', tmp_path / 'config.py', 2, *options, PYTHONPATH=path, OMP_NUM_THREADS='1'
    )
    assert run.returncode == 0, run.stderr[-3000:]
    whole, split = results(Path(cfg.work_dir)), results(tmp_path / 'two')
    assert len(list((tmp_path / 'two').glob('losses_*.pt'))) == 2
    for part, other in zip(whole, split):
        assert part.keys() == other.keys()
        for name, value in part.items():
            torch.testing.assert_close(other[name], value, rtol=2e-5, atol=2e-6)
    names = [f'train/loss_{name}_backbone_inception_4b' for name in ('nst', 'at', 'fitnet')]
    for name in (*names, 'train/loss_kd'):
        assert (whole[2][name] > 0).all()


@pytest.mark.parametrize('arguments', [['config.py'], ['config.py', 'two'], ['config.py', '0']])
def test_a_number_of_gpus_has_to_be_given(arguments):
    run = started_by('dist_train.sh', *arguments)
    assert run.returncode == 2
    assert run.stderr.startswith('usage: ') and run.stderr.count('\n') == 1


def test_slurm_is_asked_for_one_process_a_gpu(tmp_path):
    (tmp_path / 'srun').write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    arguments = ['gpus', 'nst', 'config.py', '--work-dir', 'run']
    said = started_by('slurm_train.sh', *arguments, PATH=path, GPUS='64', SRUN_ARGS='-t 9').stdout
    for option in ('--ntasks=64 ', '--ntasks-per-node=8 ', '--gres=gpu:8 ', ' -t 9 '):
        assert option in said
    assert said.rstrip().endswith('tools/train.py config.py --launcher slurm --work-dir run')
    assert '--gres=gpu:4 ' in started_by('slurm_train.sh', *arguments, PATH=path, GPUS='4').stdout


@pytest.mark.parametrize(
    'change',
    [
        dict(runner_type='FlexibleRunner', strategy=dict(type='FSDPStrategy')),
        dict(runner_type='FlexibleRunner', strategy=dict(type='DeepSpeedStrategy')),
        dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')),
    ],
    ids=lambda change: list(change.values())[-1]['type'],
)
def test_sharding_a_distiller_is_refused(tiny_distiller, tiny_config, change):
    with pytest.raises(UserError, match=r'under which NSTDistiller does not train: leave'):
        check_parallel(tiny_distiller(**change))
    check_parallel(tiny_config('student', **change))
    check_parallel(tiny_distiller(strategy=dict(type='DDPStrategy')))

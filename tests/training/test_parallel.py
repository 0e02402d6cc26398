"""A distributed training on CPUs, started by ``tools/dist_train.sh``."""

import importlib
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from locations import ROOT
from mmengine.device import get_device
from mmengine.runner import Runner

from nst_det.datasets import make_shapes_devkit

LAYER = 'backbone.inception_4b'
TRANSFERS = [
    dict(layer=LAYER, loss=dict(type='NSTLoss', loss_weight=5.0)),
    dict(layer=LAYER, loss=dict(type='ATLoss', loss_weight=2.0)),
    dict(layer=LAYER, loss=dict(type='FitNetLoss', loss_weight=1.0)),
    dict(loss=dict(type='KDLoss', loss_weight=0.5)),
    # So light that its weight, which two processes measure as a mean, changes no other value.
    dict(layer='backbone.inception_3b', loss=dict(type='NSTLoss', loss_weight=dict(ratio=1e-6))),
]
# Saves the losses of each process, of which the test takes the mean.
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
        measured = list(
            runner.message_hub.get_scalar('train/weight_backbone_inception_3b').data[0]
        )
        losses = runner.message_hub.get_info('nst_det.trained_losses', {})
        weights = {key: value.detach().clone() for key, value in losses.items()}
        torch.save((history, weights, measured), f'{runner.work_dir}/losses_{runner.rank}.pt')
"""
# A synchronised batch norm for CPUs; that of torch needs GPUs.
SYNCHRONISE = """
import torch
from mmengine.registry import MODELS
from torch.distributed import is_initialized
from torch.distributed.nn import all_reduce

@MODELS.register_module()
class SynchronisedOnCPUs(torch.nn.BatchNorm2d):
    def forward(self, x):
        if not (self.training and is_initialized()):
            return super().forward(x)
        count = all_reduce(torch.tensor(float(x[:, 0].numel())))
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]
"""


def run_script(
    python: str, script: str, *arguments: object, **environment: str
) -> subprocess.CompletedProcess:
    """Run one of the shell tools."""
    return subprocess.run(
        [ROOT / 'tools' / script, *map(str, arguments)],
        env={**os.environ, 'PYTHON': python, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def results(work_dir: Path) -> tuple[dict, dict, dict, list]:
    """Read the weights, those of the trained losses, the mean of each loss, the measured λ.

    The mean is over the processes; λ is listed for each of them.
    """
    weights = torch.load(work_dir / 'epoch_2.pth', weights_only=True)['state_dict']
    kept = [torch.load(file) for file in work_dir.glob('losses_*.pt')]
    losses = {
        name: torch.stack([history[name] for history, _, _ in kept]).double().mean(0)
        for name in kept[0][0]
        if not name.endswith('inception_3b')
    }
    return weights, kept[0][1], losses, [measured for _, _, measured in kept]


@pytest.mark.skipif(get_device() != 'cpu', reason='gloo and its two processes are for CPUs')
@pytest.mark.parametrize(
    ('stages', 'synchronised'),
    [
        pytest.param('one', False, id='one stage'),
        pytest.param('two', False, id='two stages', marks=pytest.mark.slow),
        pytest.param('one', True, id='synchronised batch norms', marks=pytest.mark.slow),
        pytest.param('classifier', True, id='classifier'),
    ],
)
def test_two_processes_train_as_one_process_with_the_complete_batch(
    tiny_distiller,
    tiny_classifiers,
    dense_detector,
    sample_everything,
    tmp_path,
    monkeypatch,
    warm_python,
    stages,
    synchronised,
):
    cfg = tiny_classifiers(tmp_path, True) if stages == 'classifier' else tiny_distiller()
    if stages == 'one':
        cfg.model.student = dense_detector()
        cfg.model.teacher = dict(config=dense_detector(width=0.25), checkpoint='random')
    elif stages == 'two':
        sample_everything(cfg.model.student)
    cfg.model.transfers = TRANSFERS
    if synchronised:
        cfg.model.student.backbone.norm_cfg = dict(type='SynchronisedOnCPUs', eps=0.1)
        if stages != 'classifier':  # a classifier has no such option
            cfg.model.student.backbone.norm_eval = False
    (tmp_path / 'keep_losses.py').write_text(KEEP_LOSSES)
    (tmp_path / 'synchronise.py').write_text(SYNCHRONISE)
    monkeypatch.syspath_prepend(tmp_path)
    imports = ['nst_det', 'keep_losses', 'synchronise']
    cfg.custom_imports = dict(imports=imports, allow_failed_imports=False)
    cfg.custom_hooks.append(dict(type='KeepLosses'))
    cfg.train_dataloader.sampler.shuffle = False
    pipeline = cfg.train_dataloader.dataset.pipeline  # of which each process draws its own numbers
    if stages == 'classifier':
        del pipeline[0]
    else:
        pipeline[2].prob = 0.0
        # Each half of a batch has enough objects that no head replaces their number by 1.
        crowded = make_shapes_devkit(tmp_path / 'shapes', 8, 4, image_size=64, seed=2)
        cfg.train_dataloader.dataset.data_root = f'{crowded}/'
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.02, momentum=0.9),
        clip_grad=dict(max_norm=1.0),  # untrained frozen norms let activations grow
    )
    cfg.param_scheduler = []
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(tmp_path / 'config.py')
    for module in imports:
        importlib.import_module(module)
    Runner.from_cfg(cfg).train()
    path = f'{ROOT}:{tmp_path}'
    options = ['--work-dir', tmp_path / 'two', '--cfg-options', 'train_dataloader.batch_size=2']
    run = run_script(
        warm_python,
        'dist_train.sh',
        tmp_path / 'config.py',
        2,
        *options,
        PYTHONPATH=path,
        OMP_NUM_THREADS='1',
    )
    assert run.returncode == 0, run.stderr[-3000:]
    whole, split = results(Path(cfg.work_dir)), results(tmp_path / 'two')
    assert len(list((tmp_path / 'two').glob('losses_*.pt'))) == 2
    for part, other in zip(whole[:3], split[:3]):
        assert part.keys() == other.keys()
        for name, value in part.items():
            torch.testing.assert_close(other[name], value, rtol=2e-5, atol=2e-6)
    names = [f'train/loss_{name}_backbone_inception_4b' for name in ('nst', 'at', 'fitnet')]
    for name in (*names, 'train/loss_kd'):
        assert (whole[2][name] > 0).all()
    assert split[3][0] == split[3][1]
    assert len(set(split[3][0])) > 1


def test_two_nodes_meet_and_share_the_images(tiny_distiller, warm_python, tmp_path):
    cfg = tiny_distiller(log_level='INFO')
    cfg.train_cfg.max_epochs = 1
    cfg.dump(tmp_path / 'config.py')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    arguments = [tmp_path / 'config.py', 1, '--work-dir', tmp_path / 'nodes']
    shared = dict(NNODES='2', MASTER_ADDR='127.0.0.1', PORT=port, OMP_NUM_THREADS='1')
    start = partial(run_script, warm_python, 'dist_train.sh', *arguments, **shared)
    with ThreadPoolExecutor(2) as pool:
        nodes = [pool.submit(start) for _ in range(2)]
    for node in nodes:
        assert node.result().returncode == 0, node.result().stderr[-3000:]
    checkpoint = torch.load(tmp_path / 'nodes/epoch_1.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 1  # 8 images, in batches of 4 on each of the two


@pytest.mark.parametrize('arguments', [['config.py'], ['config.py', 'two'], ['config.py', '0']])
def test_dist_train_needs_a_number_of_gpus(arguments):
    run = run_script(sys.executable, 'dist_train.sh', *arguments)
    assert run.returncode == 2
    assert run.stderr.startswith('usage: ') and run.stderr.count('\n') == 1


def test_slurm_train_asks_for_one_process_per_gpu(tmp_path):
    (tmp_path / 'srun').write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    arguments = ['gpus', 'nst', 'config.py', '--work-dir', 'run']
    start = partial(run_script, sys.executable, 'slurm_train.sh', *arguments, PATH=path)
    output = start(GPUS='64', SRUN_ARGS='-t 9').stdout
    for option in ('--ntasks=64 ', '--ntasks-per-node=8 ', '--gres=gpu:8 ', ' -t 9 '):
        assert option in output
    assert output.rstrip().endswith('tools/train.py config.py --launcher slurm --work-dir run')
    assert '--gres=gpu:4 ' in start(GPUS='4').stdout

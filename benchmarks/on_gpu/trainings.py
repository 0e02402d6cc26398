"""Distilled trainings on drawn shapes through mmengine's Runner: precisions, DDP, resuming."""

import copy
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch import nn

from benchmarks.on_gpu.report import Setup
from nst_det.config.load import load_config
from nst_det.datasets import make_shapes_devkit
from nst_det.engine.runner.start import start_training
from nst_det.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs/nst/nst_faster-rcnn_inception-bn-w0.25_inception-bn-w0.375_5e_shapes.py'
IMAGES, TEST_IMAGES, SIDE, EPOCHS = 16, 4, 128, 2
LAYER = 'backbone.inception_4b'
TRANSFERS = [
    dict(layer=LAYER, loss=dict(type='NSTLoss', loss_weight=5.0)),
    dict(layer='backbone.inception_3b', loss=dict(type='NSTLoss', loss_weight=dict(ratio=1e-3))),
    dict(layer=LAYER, loss=dict(type='ATLoss', loss_weight=2.0, mode='paper')),
    dict(layer=LAYER, loss=dict(type='FitNetLoss', loss_weight=1.0)),
    dict(loss=dict(type='KDLoss', loss_weight=0.5)),
    dict(layer=LAYER, loss=dict(type='CWDLoss', temperature=2.0)),
    dict(layer=LAYER, foreground=dict(margin=8), loss=dict(type='PKDLoss')),
    dict(layer=LAYER, loss=dict(type='MGDLoss', loss_weight=5e-7)),
    dict(layer=LAYER, loss=dict(type='FGDLoss')),
    dict(layer=LAYER, loss=dict(type='CKALoss')),
    dict(layer=LAYER, loss=dict(type='SPLoss', loss_weight=10.0)),
    dict(layer=LAYER, loss=dict(type='RKDLoss', distance_weight=1.0, angle_weight=1.0)),
]
BFLOAT16 = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'}
FLOAT16 = {
    'optim_wrapper.type': 'AmpOptimWrapper',
    'optim_wrapper.dtype': 'float16',
    'optim_wrapper.loss_scale': 'dynamic',
}
WAYS: dict[str, dict] = {
    'float32': {},
    'AMP, bfloat16': BFLOAT16,
    'AMP, float16 with GradScaler': FLOAT16,
    'AMP, bfloat16, teacher in float32': {**BFLOAT16, 'model.teacher.precision': 'float32'},
    'teacher in bfloat16': {'model.teacher.precision': 'bfloat16'},
    'teacher in float16': {'model.teacher.precision': 'float16'},
    'teacher channels last': {'model.teacher.channels_last': True},
    'teacher not fused': {'model.teacher.fuse': False},
    'teacher from a cache': {'model.teacher.cache': 'cache'},
    'student channels last': {
        'custom_hooks': [
            dict(type='FiniteLossHook'),
            dict(type='ChannelsLastHook', devices=('cpu', 'cuda')),
        ]
    },
    'workers, pinned memory': {
        'train_dataloader.num_workers': 2,
        'train_dataloader.pin_memory': True,
    },
}
NEEDS_GPU = ('AMP', 'teacher in float16', 'teacher in bfloat16')
# Of the first iteration's losses against float32; the heads' own losses depend on which regions
# are sampled, so the transfers' losses are compared, each relative to its size.
TOLERANCES = {'float16': 0.1, 'bfloat16': 0.3}
FLOAT32_TOLERANCE = 1e-2


def trainings(setup: Setup) -> Iterator[dict]:
    """Train with every feature transfer in each precision and with each option of the teacher."""
    expected: dict[str, float] = {}
    for name, changes in WAYS.items():
        if name.startswith(NEEDS_GPU) and not setup.has_gpu:
            yield dict(what=name, skipped='needs a GPU')
            continue
        if setup.small and expected and 'float32' not in name and 'cache' not in name:
            yield dict(what=name, skipped='left out with --small')
            continue
        runner = train(name, setup, changes)
        losses = first_losses(runner.message_hub)
        expected = expected or losses
        yield dict(
            what=name,
            **_compared(losses, expected, name),
            last_loss=float(runner.message_hub.get_scalar('train/loss').data[0][-1]),
            mAP=float(runner.message_hub.get_scalar('val/pascal_voc/mAP').current()),
            cached=_last(runner.message_hub, 'teacher_cached'),
        )


def one_process_ddp(setup: Setup) -> Iterator[dict]:
    """Train under torchrun in one process, over NCCL on a GPU, and as without it."""
    backend = 'nccl' if setup.has_gpu else 'gloo'
    single = train('without DDP', setup, {'train_cfg.max_epochs': 1})
    cfg = config('ddp', setup, {'train_cfg.max_epochs': 1})
    file = setup.work_dir / 'ddp.py'
    cfg.dump(file)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=1']
    command += [f'--master-port={port}', str(ROOT / 'tools/train.py'), str(file)]
    run = subprocess.run(
        [*command, '--launcher', 'pytorch'],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    if run.returncode:
        raise RuntimeError(f'the training under torchrun failed:\n{run.stdout[-3000:]}')
    saved = torch.load(f'{cfg.work_dir}/epoch_1.pth', weights_only=True)
    hub = MessageHub('of ddp')
    hub.load_state_dict(saved['message_hub'])
    losses = first_losses(hub)
    yield dict(what=f'DDP over {backend}', **_compared(losses, first_losses(single.message_hub)))


def fsdp_is_refused(setup: Setup) -> Iterator[dict]:
    """Ask for FSDP, which takes the student apart."""
    cfg = config('fsdp', setup, {'model_wrapper_cfg.type': 'MMFullyShardedDataParallel'})
    try:
        start_training(cfg)
    except UserError as error:
        yield dict(what='FSDP', ok='MMFullyShardedDataParallel' in str(error), answer=str(error))
    else:
        yield dict(what='FSDP', ok=False, answer='a training')


def resuming(setup: Setup) -> Iterator[dict]:
    """Resume after the first epoch, and compare the weights with those of a training in one go.

    Some backward passes on a GPU add in no fixed order, so two trainings in one go differ too.
    """
    for name, changes in [('float32', {}), ('AMP, float16 with GradScaler', FLOAT16)]:
        if changes and not setup.has_gpu:
            yield dict(what=name, skipped='needs a GPU')
            continue
        runs = [f'{name}, in one go', *([f'{name}, again'] if setup.has_gpu else [])]
        for run in runs:
            train(run, setup, changes)
        first = setup.work_dir / 'trainings' / _file_name(runs[0])
        resumed = config(f'{name}, resumed', setup, changes)
        resumed.update(resume=True, load_from=str(first / 'epoch_1.pth'))
        start_training(resumed)
        folders = [
            Path(first),
            *(setup.work_dir / 'trainings' / _file_name(run) for run in runs[1:]),
        ]
        whole, *again = (_weights(folder) for folder in folders)
        difference = _difference(_weights(Path(resumed.work_dir)), whole)
        repeated = _difference(again[0], whole) if again else 0.0
        yield dict(
            what=name,
            difference=difference,
            difference_of_two_in_one_go=repeated,
            ok=difference <= max(10 * repeated, 1e-5),
        )


def device_moves(setup: Setup) -> Iterator[dict]:
    """Move a distiller with an open teacher and a connector between the devices."""
    runner = Runner.from_cfg(config('moves', setup))
    model = runner.model
    model.init_weights()
    data = next(iter(runner.train_dataloader))
    model.train()
    values, states, places = [], [], []
    for device in (setup.device, 'cpu', setup.device):
        model.to(device)
        values.append(_losses(model, data))
        states.append({key: value.clone().cpu() for key, value in model.state_dict().items()})
        model.load_state_dict(states[0])  # without what this batch did to the batch norms
        parts = [model, model.open_teacher().detector, model.trained_losses]
        places.append({p.device.type for part in parts for p in part.parameters()})
    torch.manual_seed(0)
    expected = [{setup.device}, {'cpu'}, {setup.device}]
    yield dict(what='all parts are where the model is', ok=places == expected)
    there_and_back = _relative(values[2], values[0])
    yield dict(what='losses there and back', difference=there_and_back, ok=there_and_back < 1e-3)
    on_cpu = _relative(values[1], values[0])
    yield dict(what='losses on the CPU', difference=on_cpu, ok=on_cpu < FLOAT32_TOLERANCE)


def _losses(model: nn.Module, data: dict) -> dict[str, float]:
    """The losses of the transfers for a batch, always with the same random numbers."""
    torch.manual_seed(0)
    ready = model.data_preprocessor(copy.deepcopy(data), True)
    losses = model(**ready, mode='loss')
    model.parse_losses(losses)[0].backward()
    model.zero_grad()
    names = {transfer.name for transfer in model.transfers} - {'loss_kd'}
    names = {name for name in names if 'mgd' not in name}  # each device draws other positions
    return {name: float(value) for name, value in losses.items() if name in names}


def config(name: str, setup: Setup, changes: dict | None = None) -> Config:
    """The demo's config with every feature transfer and an untrained teacher, in a new folder."""
    cfg = load_config(str(DEMO))
    devkit = make_shapes_devkit(setup.work_dir / 'shapes', IMAGES, TEST_IMAGES, SIDE)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{devkit}/'
    cfg.model.teacher.update(checkpoint='random')
    cfg.model.teacher.config = load_config(cfg.model.teacher.config).model
    cfg.model.transfers = copy.deepcopy(TRANSFERS)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
    cfg.default_hooks.logger.interval = 1
    cfg.custom_hooks = [dict(type='FiniteLossHook')]
    cfg.log_level = 'WARNING'
    cfg.experiment_name = _file_name(name)
    cfg.work_dir = str(setup.work_dir / 'trainings' / _file_name(name))
    shutil.rmtree(cfg.work_dir, ignore_errors=True)  # of an earlier call
    cfg.merge_from_dict(changes or {})
    if cfg.model.teacher.get('cache'):
        cfg.model.teacher.cache = f'{cfg.work_dir}/cache'
    if setup.device == 'cpu' and torch.cuda.is_available():
        raise UserError('to train on the CPU of a machine with a GPU, set CUDA_VISIBLE_DEVICES=')
    return cfg


def train(name: str, setup: Setup, changes: dict | None = None) -> Runner:
    """Train to the end."""
    runner = Runner.from_cfg(config(name, setup, changes))
    runner.train()
    return runner


def first_losses(hub: MessageHub) -> dict[str, float]:
    """The losses of the transfers in the first iteration."""
    names = [key for key in hub.log_scalars if key.startswith('train/loss_') and LAYER[9:] in key]
    return {name: float(hub.get_scalar(name).data[0][0]) for name in names if 'mgd' not in name}


def _compared(losses: dict, expected: dict, name: str = 'float32') -> dict:
    """Compare the losses of a first iteration with others."""
    kind = next((kind for kind in ('bfloat16', 'float16') if kind in name), None)
    limit = FLOAT32_TOLERANCE if kind is None else TOLERANCES[kind]
    difference = _relative(losses, expected)
    return dict(difference=difference, ok=bool(losses) and difference <= limit)


def _relative(losses: dict[str, float], expected: dict[str, float]) -> float:
    """The largest relative difference of losses of the same names."""
    if losses.keys() != expected.keys():
        return float('inf')
    return max(abs(losses[key] / value - 1) for key, value in expected.items() if value)


def _last(hub: MessageHub, key: str) -> float | None:
    name = f'train/{key}'
    return float(hub.get_scalar(name).data[0][-1]) if name in hub.log_scalars else None


def _weights(folder: Path) -> torch.Tensor:
    state = torch.load(folder / f'epoch_{EPOCHS}.pth', weights_only=True, map_location='cpu')
    return torch.cat([value.double().flatten() for value in state['state_dict'].values()])


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _file_name(name: str) -> str:
    return '-'.join(name.replace(',', '').split())

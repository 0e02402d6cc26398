"""Distributed training on a machine without a GPU."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from mmengine.device import get_device

import nst_det

SCRIPT = """
import sys
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel
from mmengine.runner import Runner
import nst_det

class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        return dict(loss=self.slope(x).square().mean())

runner = Runner(
    model=Line(),
    work_dir=sys.argv[1],
    train_dataloader=dict(
        dataset=[dict(x=torch.tensor([float(i)])) for i in range(4)],
        sampler=dict(type=DefaultSampler, shuffle=False),
        collate_fn=dict(type='default_collate'),
        batch_size=1,
    ),
    train_cfg=dict(by_epoch=True, max_epochs=1),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
    env_cfg=dict(dist_cfg=dict(backend='gloo')),
    launcher='pytorch',
    cfg=dict(model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)),
)
runner.train()
print('slope', runner.iter, runner.model.module.slope.weight.item())
"""


@pytest.mark.skipif(get_device() != 'cpu', reason='this machine has a GPU to train on')
def test_two_processes_without_a_gpu_train_one_model(tmp_path, warm_python):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        'PYTHONPATH': str(Path(nst_det.__file__).parents[1]),
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
        'WORLD_SIZE': '2',
    }
    processes = [
        subprocess.Popen(
            [warm_python, '-c', SCRIPT, str(tmp_path)],
            env={**environment, 'RANK': str(rank), 'LOCAL_RANK': str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors
    derivative = [output.splitlines()[-1] for output, _ in outputs]
    assert derivative[0] == derivative[1]
    assert derivative[0].startswith('slope 2 ')  # four samples in two processes

"""Distributed training without a GPU, for trying a ``--launcher pytorch`` run on any machine.

The problem: mmengine 0.10 calls ``torch.cuda.set_device`` before it joins the process group,
whatever the backend, which raises where there is no NVIDIA driver.

The answer: join the group without that call where mmengine's device is the CPU. The config still
has to say what a CPU run needs::

    env_cfg = dict(dist_cfg=dict(backend='gloo'))
    model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)

It can go when mmengine sets a CUDA device only where it found one.
"""

import torch.distributed
from mmengine.device import get_device
from mmengine.dist import utils as mmengine_dist


def _init_dist_pytorch(backend: str, init_backend: str = 'torch', **kwargs) -> None:
    torch.distributed.init_process_group(backend=backend, **kwargs)


def apply() -> None:
    """Let mmengine's ``launcher='pytorch'`` start on a machine that has only CPUs."""
    if get_device() == 'cpu':
        mmengine_dist._init_dist_pytorch = _init_dist_pytorch

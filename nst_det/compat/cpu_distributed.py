"""Distributed training without a GPU, for trying a ``--launcher pytorch`` run on any machine.

The problem: mmengine 0.10 calls ``torch.cuda.set_device`` before it joins the process group,
whatever the backend. Without an NVIDIA driver that call raises an error.

The answer: if mmengine's device is the CPU, the process joins the group without that call.
:func:`use_cpus` makes the other changes to a config that a run on CPUs needs; the tools call it.

It can go when mmengine sets a CUDA device only if there is one.
"""

import torch.distributed
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import utils as mmengine_dist


def _init_dist_pytorch(backend: str, init_backend: str = 'torch', **kwargs) -> None:
    torch.distributed.init_process_group(backend=backend, **kwargs)


def apply() -> None:
    """Let mmengine's ``launcher='pytorch'`` start on a machine that has only CPUs."""
    if get_device() == 'cpu':
        mmengine_dist._init_dist_pytorch = _init_dist_pytorch


def use_cpus(cfg: Config) -> None:
    """Let the processes of a config communicate over gloo instead of nccl if there is no GPU.

    Args:
        cfg (Config): The complete config; it is changed.
    """
    if get_device() == 'cpu' and cfg.get('launcher', 'none') != 'none':
        cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
        if cfg.get('model_wrapper_cfg') is None:  # mmengine would name a GPU for each process
            cfg.model_wrapper_cfg = dict(
                type='MMDistributedDataParallel',
                device_ids=None,
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False),
            )

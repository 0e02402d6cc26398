"""Distributed training without a GPU, for trying a ``--launcher pytorch`` run on any machine.

The problem: mmengine 0.10 calls ``torch.cuda.set_device`` before it joins the process group,
whatever the backend, which raises where there is no NVIDIA driver.

The answer: join the group without that call where mmengine's device is the CPU. ``use_cpus`` makes
the changes to a config that a CPU run needs besides; the tools do it by themselves.

It can go when mmengine sets a CUDA device only where it found one.
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
    """Have a config's processes meet over gloo, not nccl, where there is no GPU.

    Args:
        cfg (Config): The whole config; it is changed.
    """
    if get_device() == 'cpu' and cfg.get('launcher', 'none') != 'none':
        cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
        if cfg.get('model_wrapper_cfg') is None:  # else mmengine names a GPU for each process
            cfg.model_wrapper_cfg = dict(
                type='MMDistributedDataParallel',
                device_ids=None,
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False),
            )

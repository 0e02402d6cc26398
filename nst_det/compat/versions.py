"""The versions that nst_det runs on, for a report of a problem."""

from importlib.metadata import packages_distributions, version

import mmcv
import mmdet
import numpy as np
import torch
from mmengine.utils.dl_utils import collect_env

from nst_det.compat.mmcv_ops import compiled_ops
from nst_det.version import __version__


def show_versions() -> None:
    """Print the versions of nst_det and of the packages that it is built on, and the devices."""
    for name, value in collect_versions().items():
        print(f'{name:12} {value}', flush=True)


def collect_versions() -> dict[str, str]:
    """Find the versions of nst_det and of the packages that it is built on, and the devices.

    Returns:
        dict[str, str]: The versions by name.
    """
    env = collect_env()
    ops = 'compiled ops' if compiled_ops() else 'no compiled ops, replaced by those of torchvision'
    gpus = [f'{name}: {value}' for name, value in env.items() if name.startswith('GPU ')]
    return {
        'nst_det': __version__,
        'python': env['Python'],
        'platform': env['sys.platform'],
        'torch': env['PyTorch'],
        'torchvision': env['TorchVision'],
        'mmengine': env['MMEngine'],
        **{name: f'{version(name)}, {ops}' for name in _owners_of_mmcv()},
        'mmdet': mmdet.__version__,
        'numpy': np.__version__,
        'opencv': env['OpenCV'],
        'devices': '; '.join([*gpus, f'CPU, {torch.get_num_threads()} threads']),
    }


def _owners_of_mmcv() -> list[str]:
    """The installed packages that own the folder ``mmcv``: more than one is a mistake."""
    return sorted(set(packages_distributions().get(mmcv.__name__, [])))

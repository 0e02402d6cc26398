"""Inception-BN's weights as others publish them, under this package's names.

Two families are in the wild: the PyTorch files called ``bninception`` (converted from Caffe), and
MXNet's, among them those that the authors of NST released.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nst_det.errors import UserError
from nst_det.fileio.checkpoint import local_file
from nst_det.fileio.state_dict import read_state_dict
from nst_det.models.backbones.inception_bn.mxnet_params import is_mxnet_params, read_mxnet_params
from nst_det.models.backbones.inception_bn.specs import BLOCK_UNITS, BLOCKS, STEM_UNITS

OWN = 'nst_det'
_PARTS = ('weight', 'bias', 'running_mean', 'running_var')
_MXNET_PARTS = dict(
    conv=dict(weight='arg:conv_{}_weight', bias='arg:conv_{}_bias'),
    bn=dict(
        weight='arg:bn_{}_gamma',
        bias='arg:bn_{}_beta',
        running_mean='aux:bn_{}_moving_mean',
        running_var='aux:bn_{}_moving_var',
    ),
)
_CLASSIFIER = re.compile(r'(?:arg:)?(?:last_linear|fc\w*|classifier|full\w*)[._](?:weight|bias)')


@dataclass(frozen=True)
class PublishedWeights:
    """The weights of a file.

    Args:
        family (str): Whose names the file has: ``'bninception'``, ``'mxnet'`` or ``'nst_det'``.
        weights (dict[str, Tensor]): By this package's names, in float32.
        classifier (list[str]): What it holds besides of a classifier, by its own names.
        added (list[str]): What it lacks and is known to be 0: the biases of convolutions that have
            none.
    """

    family: str
    weights: dict[str, Tensor]
    classifier: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def read_published(path: str) -> PublishedWeights:
    """Read Inception-BN's weights, whoever published them.

    Args:
        path (str): A local path or URL: a PyTorch ``bninception`` file, MXNet's ``.params``, or a
            checkpoint with this package's own names.

    Returns:
        PublishedWeights: The weights.

    Raises:
        UserError: Where the file cannot be read, or holds tensors under its family's names that
            are no part of Inception-BN.
    """
    path = local_file(str(path))
    if is_mxnet_params(path):
        return _translate(read_mxnet_params(path), path, 'mxnet')
    weights = read_state_dict(path)
    if any(key.startswith(('conv1_7x7_s2', 'inception_3a_1x1')) for key in weights):
        return _translate(weights, path, 'bninception')
    return PublishedWeights(OWN, weights)


def published_names(family: str) -> dict[str, str]:
    """This package's name of every tensor that a family's files may hold.

    Args:
        family (str): ``'bninception'`` or ``'mxnet'``.

    Returns:
        dict[str, str]: The own name by the published one.
    """
    units = {own: names[family] for own, names in STEM_UNITS.items()}
    for block, spec in BLOCKS.items():
        absent = {'branch_1x1': not spec.conv1x1, 'branch_pool.proj': not spec.proj}
        for own, names in BLOCK_UNITS.items():
            if absent.get(own):
                continue
            prefix = 'inception_' if family == 'bninception' else ''
            units[f'inception_{block}.{own}'] = f'{prefix}{block}_{names[family]}'
    found = {}
    for own, published in units.items():
        for module in ('conv', 'bn'):
            for part in _PARTS if module == 'bn' else _PARTS[:2]:
                if family == 'mxnet':
                    name = _MXNET_PARTS[module][part].format(published)
                else:
                    name = f'{published}{"_bn" * (module == "bn")}.{part}'
                found[name] = f'{own}.{module}.{part}'
    if family == 'mxnet':
        found |= {
            name.format('data'): f'bn_data.{part}' for part, name in _MXNET_PARTS['bn'].items()
        }
    return found


def _translate(published: Mapping[str, Tensor], path: str, family: str) -> PublishedWeights:
    names = published_names(family)
    weights: dict[str, Tensor] = {}
    classifier: list[str] = []
    foreign: list[str] = []
    for name, value in published.items():
        if name.endswith('num_batches_tracked'):
            continue
        if name in names:
            weights[names[name]] = _in_shape(names[name], value.float())
        else:
            (classifier if _CLASSIFIER.fullmatch(name) else foreign).append(name)
    if foreign:
        raise UserError(
            f'{path} holds {len(foreign)} tensors that are no part of Inception-BN as {family} '
            f'files name it, such as {foreign[0]!r}: it is of another network'
        )
    if 'bn_data.weight' in weights:  # MXNet's fix_gamma: whatever is written there counts as 1
        weights['bn_data.weight'] = torch.ones_like(weights['bn_data.weight'])
    added = []
    for key in [key for key in weights if key.endswith('.conv.weight')]:
        bias = key.removesuffix('weight') + 'bias'
        if bias not in weights:
            weights[bias] = weights[key].new_zeros(len(weights[key]))
            added.append(bias)
    return PublishedWeights(family, weights, classifier, added)


def _in_shape(name: str, value: Tensor) -> Tensor:
    """Older files hold a batch norm's parameters as `(1, C)`."""
    batch_norm = '.bn.' in name or name.startswith('bn_data.')
    return value.squeeze(0) if batch_norm and value.ndim == 2 and len(value) == 1 else value


def normalisation(weights: Mapping[str, Tensor], eps: float) -> tuple[list[float], list[float]]:
    """What ``bn_data`` does to the colours, as a data preprocessor's mean and std.

    Args:
        weights (Mapping[str, Tensor]): The weights with ``bn_data``.
        eps (float): Its eps, 2e-5 in MXNet's files.

    Returns:
        tuple[list[float], list[float]]: Mean and std per channel, R, G, B.
    """
    mean, var, shift = (
        weights[f'bn_data.{part}'].double() for part in ('running_mean', 'running_var', 'bias')
    )
    std = (var + eps).sqrt()
    return (mean - shift * std).tolist(), std.tolist()


def fold_normalisation(weights: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """Make ``bn_data`` do nothing, for a data preprocessor that does it: see :func:`normalisation`.

    It cannot be folded into conv1, whose zero padding comes after it.

    Args:
        weights (Mapping[str, Tensor]): The weights with ``bn_data``.
        eps (float): Its eps.

    Returns:
        dict[str, Tensor]: The weights, those of ``bn_data`` replaced.
    """
    ones = torch.ones(3)
    return dict(
        weights,
        **{
            'bn_data.weight': ones,
            'bn_data.bias': 0 * ones,
            'bn_data.running_mean': 0 * ones,
            'bn_data.running_var': ones - eps,
        },
    )

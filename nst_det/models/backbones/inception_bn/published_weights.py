"""Published weights of Inception-BN, translated to the names of this package.

There are two families of names: those of PyTorch files called ``bninception`` (converted from
Caffe), and those of MXNet's files, among them the files that the authors of NST released.
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
from nst_det.models.backbones.inception_bn.specs import (
    BLOCK_UNITS,
    BLOCKS,
    STEM_UNITS,
    VARIANTS,
)

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
        family (str): The family of the names in the file: ``'bninception'``, ``'mxnet'`` or
            ``'nst_det'``.
        weights (dict[str, Tensor]): The weights by the names of this package, in float32.
        classifier (list[str]): The file's names of the weights of a classifier, which are not used.
        added (list[str]): The weights that the file lacks and that must be 0: biases of
            convolutions without one.
    """

    family: str
    weights: dict[str, Tensor]
    classifier: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that the file may be of: one, where its names tell.

        The shapes are the same in all variants. MXNet's model zoo has the names of the authors of
        NST, but no ``bn_data``, which is in front of ``conv1``.
        """
        if any(key.startswith('bn_data.') for key in self.weights):
            return ('mxnet',)
        if self.family == 'bninception':
            return ('caffe',)
        complete = any(key.startswith('conv1.') for key in self.weights)
        if self.family == 'mxnet':
            return ('mxnet_zoo',) if complete else ('mxnet', 'mxnet_zoo')
        return ('caffe', 'mxnet_zoo') if complete else tuple(VARIANTS)


def read_published(path: str) -> PublishedWeights:
    """Read weights of Inception-BN from any of the published kinds of files.

    Args:
        path (str): A local path or URL: a PyTorch ``bninception`` file, MXNet's ``.params``, or a
            checkpoint with the names of this package.

    Returns:
        PublishedWeights: The weights.

    Raises:
        UserError: If the file cannot be read, or holds tensors that are no part of Inception-BN.
    """
    path = local_file(str(path))
    if is_mxnet_params(path):
        return _translate(read_mxnet_params(path), path, 'mxnet')
    weights = read_state_dict(path)
    if any(key.startswith(('conv1_7x7_s2', 'inception_3a_1x1')) for key in weights):
        return _translate(weights, path, 'bninception')
    return PublishedWeights(OWN, weights)


def published_names(family: str) -> dict[str, str]:
    """List the tensors that the files of a family may hold.

    Args:
        family (str): ``'bninception'`` or ``'mxnet'``.

    Returns:
        dict[str, str]: The name in this package by the name in the file.
    """
    units = {own: names[family] for own, names in STEM_UNITS.items()}
    for block, spec in BLOCKS.items():
        channels = {'branch_1x1': spec.conv1x1, 'branch_pool.proj': spec.proj}
        for own, names in BLOCK_UNITS.items():
            if channels.get(own) == 0:
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
                    suffix = '_bn' if module == 'bn' else ''
                    name = f'{published}{suffix}.{part}'
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
    if 'bn_data.weight' in weights:  # MXNet's fix_gamma: any value in the file counts as 1
        weights['bn_data.weight'] = torch.ones_like(weights['bn_data.weight'])
    added = []
    for key in [key for key in weights if key.endswith('.conv.weight')]:
        bias = key.removesuffix('weight') + 'bias'
        if bias not in weights:
            weights[bias] = weights[key].new_zeros(len(weights[key]))
            added.append(bias)
    return PublishedWeights(family, weights, classifier, added)


def _in_shape(name: str, value: Tensor) -> Tensor:
    """Bring a tensor to `(C,)` if it is a parameter of a batch norm, `(1, C)` in older files."""
    batch_norm = '.bn.' in name or name.startswith('bn_data.')
    return value.squeeze(0) if batch_norm and value.ndim == 2 and len(value) == 1 else value


def normalisation(weights: Mapping[str, Tensor], eps: float) -> tuple[list[float], list[float]]:
    """Express ``bn_data`` as mean and std of a data preprocessor.

    Args:
        weights (Mapping[str, Tensor]): Weights with ``bn_data``.
        eps (float): Its ε, 2e-5 in MXNet's files.

    Returns:
        tuple[list[float], list[float]]: Mean and std of the channels R, G, B.
    """
    mean, var, shift = (
        weights[f'bn_data.{part}'].double() for part in ('running_mean', 'running_var', 'bias')
    )
    std = (var + eps).sqrt()
    return (mean - shift * std).tolist(), std.tolist()


def fold_normalisation(weights: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """Make ``bn_data`` the identity, for a data preprocessor that normalises in its place.

    See :func:`normalisation`. It cannot be folded into conv1, because the zero padding of conv1
    comes after it.

    Args:
        weights (Mapping[str, Tensor]): Weights with ``bn_data``.
        eps (float): Its ε.

    Returns:
        dict[str, Tensor]: The weights, with those of ``bn_data`` replaced.
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

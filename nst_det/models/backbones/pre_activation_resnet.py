"""The pre-activation ResNet for small images, up to 1001 layers deep."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nst_det.config.validators import check_flag, check_integer, wrong_value

STRIDES = (1, 2, 2)
EXPANSION = 4


class PreActivationBottleneck(nn.Module):
    """A bottleneck unit: three times norm, ReLU and convolution (1x1, 3x3, 1x1), and the shortcut.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the 3x3 convolution; the output has four times as many.
        stride (int): The stride of the 3x3 convolution. Defaults to 1.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        conv = partial(nn.Conv2d, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride, 1)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv3 = conv(channels, out_channels, 1)
        if in_channels != out_channels or stride != 1:
            self.shortcut = conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Turn `(N, C, H, W)` into `(N, C', H / stride, W / stride)`."""
        activated = torch.relu(self.bn1(x))
        # A unit that changes the shape activates its shortcut as well.
        shortcut = self.shortcut(activated) if hasattr(self, 'shortcut') else x
        residual = self.conv1(activated)
        residual = self.conv2(torch.relu(self.bn2(residual)))
        return shortcut + self.conv3(torch.relu(self.bn3(residual)))


class Stage(nn.Sequential):
    """Units one after another, on request with activation checkpointing.

    Args:
        units (Sequence[nn.Module]): The units.
        with_cp (bool): Whether only the inputs of the units are kept in a training.
    """

    def __init__(self, units: Sequence[nn.Module], with_cp: bool) -> None:
        super().__init__(*units)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Run the units."""
        if not (self.with_cp and self.training and torch.is_grad_enabled()):
            return super().forward(x)
        for unit in self:
            contexts = partial(_first_and_second_time, unit)
            x = checkpoint(unit, x, use_reentrant=False, context_fn=contexts)
        return x


def _first_and_second_time(
    unit: nn.Module,
) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _fixed_statistics(unit)


@contextmanager
def _fixed_statistics(unit: nn.Module) -> Iterator[None]:
    """Let batch norms see a batch a second time without counting it in their running statistics."""
    norms = [module for module in unit.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)


@MODELS.register_module()
class PreActivationResNet(BaseModule):
    """A ResNet with the activation before each convolution, for images such as those of CIFAR.

    He et al. 2016, `Identity Mappings in Deep Residual Networks
    <https://arxiv.org/abs/1603.05027>`_: a 3x3 convolution, three stages of bottleneck units at
    strides 1, 2 and 4, and a last norm with ReLU. ResNet-1001 has 111 units a stage, 3 convolutions
    each: 9 · 111 + 2 = 1001 layers with the first convolution and the classifier. It is the teacher
    of the NST paper (arXiv 1707.01219) on CIFAR.

    The children are ``conv1``, ``layer1`` to ``layer3``, each a sequence of units, and ``norm`` and
    ``relu``, whose output is the last feature map.

    Args:
        depth (int): 9 n + 2 for n units a stage, such as 164 or 1001. Defaults to 1001.
        base_channels (int): The channels of the first convolution, and of the 3x3 convolutions of
            the first stage. Defaults to 16.
        out_indices (Sequence[int]): The stages whose feature maps are returned, from 0. That of the
            last one is normalised and activated. Defaults to ``(2,)``.
        with_cp (bool): Whether the units of a training keep only their inputs, and are computed
            again in the backward pass. It takes a third more time and a fraction of the memory.
            Defaults to False.
        init_cfg (dict | list[dict], optional): Initialization. Defaults to None: Kaiming for
            convolutions, 1 for norms.

    Raises:
        UserError: If an argument is not valid.
    """

    def __init__(
        self,
        depth: int = 1001,
        base_channels: int = 16,
        out_indices: Sequence[int] = (2,),
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_integer('PreActivationResNet.depth', depth, minimum=11)
        if (depth - 2) % 9:
            raise wrong_value(
                'PreActivationResNet.depth', depth, '9 n + 2, such as 29, 164 or 1001'
            )
        check_integer('PreActivationResNet.base_channels', base_channels, minimum=1)
        check_flag('PreActivationResNet.with_cp', with_cp)
        if not out_indices or not all(index in range(len(STRIDES)) for index in out_indices):
            raise wrong_value(
                'PreActivationResNet.out_indices', out_indices, 'stages out of 0 to 2'
            )
        super().__init__(
            init_cfg
            or [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer='_BatchNorm'),
            ]
        )
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Conv2d(3, base_channels, 3, padding=1, bias=False)
        in_channels, channels = base_channels, base_channels
        for stage, stride in enumerate(STRIDES, 1):
            units = []
            for i in range((depth - 2) // 9):
                units.append(PreActivationBottleneck(in_channels, channels, 1 if i else stride))
                in_channels = EXPANSION * channels
            self.add_module(f'layer{stage}', Stage(units, with_cp))
            channels *= 2
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract feature maps.

        Args:
            x (Tensor): Images `(N, 3, H, W)`.

        Returns:
            tuple[Tensor, ...]: The feature maps `(N, C, h, w)`, in the order of ``out_indices``.
        """
        outputs = []
        x = self.conv1(x)
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
            outputs.append(x)
        outputs[-1] = self.relu(self.norm(x))
        return tuple(outputs[index] for index in self.out_indices)

"""Speed-ups of a frozen detector, each kept only if the outputs stay the same."""

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from nst_det.errors import one_line
from nst_det.models.layers.conv_bn_pairs import conv_bn_pairs

# The largest norm of a difference over the norm of the output: float32 rounding, layer by layer.
TOLERANCE = 1e-5


class ConvBNFusion:
    """Folds batch norms into the convolutions before them.

    Args:
        pairs (Sequence[tuple[nn.Conv2d, nn.Module]]): The pairs: see :func:`conv_bn_pairs`.
    """

    name = 'batch norms folded into the convolutions before them'

    def __init__(self, pairs: Sequence[tuple[nn.Conv2d, nn.Module]]) -> None:
        self.pairs = pairs
        self.before: list[list[Tensor | None]] = []

    def apply(self) -> None:
        """Fold. A batch norm stays a module of the detector, for taps, and normalises nothing."""
        for conv, bn in self.pairs:
            # They are rarely needed again, so they do not stay in the memory of a GPU.
            self.before.append(
                [None if value is None else value.cpu() for value in (conv.weight, conv.bias)]
            )
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                bn.running_mean,
                bn.running_var,
                bn.eps,
                bn.weight,
                bn.bias,
            )
            conv.requires_grad_(False)
            bn.forward = partial(_without_norm, bn)

    def undo(self) -> None:
        """Restore the weights as they were before."""
        for (conv, bn), (weight, bias) in zip(self.pairs, self.before):
            conv.weight, conv.bias = (
                None if value is None else nn.Parameter(value.to(conv.weight), requires_grad=False)
                for value in (weight, bias)
            )
            del bn.forward
        self.before = []


class ChannelsLast:
    """Stores the convolution weights of a detector, and so its feature maps, channels last.

    Args:
        detector (nn.Module): The detector.
    """

    name = 'channels last in memory'

    def __init__(self, detector: nn.Module) -> None:
        self.detector = detector

    def apply(self) -> None:
        """Store the weights channels last; the feature maps follow."""
        nn.Module.to(self.detector, memory_format=torch.channels_last)

    def undo(self) -> None:
        """Store the weights channels first again."""
        nn.Module.to(self.detector, memory_format=torch.contiguous_format)


def apply_speedups(
    detector: nn.Module,
    run: Callable[[], list[Tensor]],
    fuse: bool,
    channels_last: bool,
    kept: Collection[nn.Module],
) -> list[ConvBNFusion | ChannelsLast]:
    """Apply the speed-ups to a detector, and undo each one that changes its outputs.

    Args:
        detector (nn.Module): The detector, frozen and in evaluation mode.
        run (Callable): Runs the detector and returns all the outputs that matter.
        fuse (bool): Fold batch norms into convolutions.
        channels_last (bool): Store the weights channels last.
        kept (Collection[nn.Module]): Convolutions and batch norms that stay as they are, because a
            tap reads what the convolution gives to the batch norm.

    Returns:
        list[ConvBNFusion or ChannelsLast]: The speed-ups in effect, to be undone in reverse order.
    """
    # The rounding of autocast or of TF32 would hide a difference.
    with (
        torch.autocast(next(detector.parameters()).device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
    ):
        with conv_bn_pairs(detector) as found:
            expected = run()
        pairs = [(conv, norm) for conv, norm in found if conv not in kept and norm not in kept]
        speedups: list[ConvBNFusion | ChannelsLast] = []
        if fuse and pairs:
            speedups.append(ConvBNFusion(pairs))
        if channels_last:
            speedups.append(ChannelsLast(detector))
        return [speedup for speedup in speedups if _apply_if_equal(speedup, run, expected)]


def _apply_if_equal(
    speedup: ConvBNFusion | ChannelsLast, run: Callable[[], list[Tensor]], expected: list[Tensor]
) -> bool:
    """Apply a speed-up, and undo it if the outputs change. Return whether it is in effect."""
    speedup.apply()
    try:
        difference = torch.stack(
            [relative_difference(*pair) for pair in zip(run(), expected)]
        ).max()
        fault = f'its outputs change by {difference:.1e} of their norm'
        equal = bool(difference <= TOLERANCE)  # False for NaN
    except RuntimeError as error:  # such as view(), which some memory layouts do not allow
        fault = one_line(error)
        equal = False
    if not equal:
        speedup.undo()
        print_log(f'The teacher runs without {speedup.name}: {fault}', 'current', logging.WARNING)
    return equal


def relative_difference(output: Tensor, expected: Tensor) -> Tensor:
    """Compute the norm of a difference over the norm of the expected output; 0 / 0 is 0.

    Args:
        output (Tensor): The output.
        expected (Tensor): The expected output, of the same shape.
    """
    output, expected = output.double(), expected.double()
    return (output - expected).norm() / expected.norm().clamp(min=1e-30)


def _without_norm(norm: nn.Module, inputs: Tensor) -> Tensor:
    """Run what a batch norm does beside normalising: those of timm contain the activation."""
    for name in ('drop', 'act'):
        layer = getattr(norm, name, None)
        if isinstance(layer, nn.Module):
            inputs = layer(inputs)
    return inputs

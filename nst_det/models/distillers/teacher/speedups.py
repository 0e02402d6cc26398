"""Rewriting a frozen detector so that it runs faster and says the same."""

import logging
from collections.abc import Callable, Collection, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from nst_det.models.layers.conv_bn_pairs import conv_bn_pairs

TOLERANCE = (
    1e-5  # the norm of a difference over that of the answer: float32 rounding, layer by layer
)


class ConvBNFusion:
    """Takes batch norms into the convolutions before them.

    Args:
        pairs (Sequence[tuple[nn.Conv2d, nn.Module]]): The pairs: see :func:`conv_bn_pairs`.
    """

    name = 'batch norms fused with the convolutions before them'

    def __init__(self, pairs: Sequence[tuple[nn.Conv2d, nn.Module]]) -> None:
        self.pairs = pairs
        self.before: list[list[Tensor | None]] = []

    def apply(self) -> None:
        """Fuse. A batch norm stays where it is, for taps, and passes on what it gets."""
        for conv, bn in self.pairs:
            # Rarely wanted again, so not worth a GPU's memory.
            self.before.append(
                [None if one is None else one.cpu() for one in (conv.weight, conv.bias)]
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
            bn.forward = _pass_on

    def undo(self) -> None:
        """Put back what was there before."""
        for (conv, bn), (weight, bias) in zip(self.pairs, self.before):
            conv.weight, conv.bias = (
                None if one is None else nn.Parameter(one.to(conv.weight), requires_grad=False)
                for one in (weight, bias)
            )
            del bn.forward
        self.before = []


class ChannelsLast:
    """Keeps a detector's maps in memory with their channels last, as its convolutions work on them.

    Args:
        detector (nn.Module): The detector.
    """

    name = 'channels last in memory'

    def __init__(self, detector: nn.Module) -> None:
        self.detector = detector

    def apply(self) -> None:
        """Lay out the kernels so, which the maps follow."""
        self.detector.to(memory_format=torch.channels_last)

    def undo(self) -> None:
        """Put back what was there before."""
        self.detector.to(memory_format=torch.contiguous_format)


def rewrite(
    detector: nn.Module,
    answer: Callable[[], list[Tensor]],
    fuse: bool,
    channels_last: bool,
    spared: Collection[nn.Module],
) -> list[ConvBNFusion | ChannelsLast]:
    """Rewrite a detector, step by step, and take back each step that changes its answers.

    Args:
        detector (nn.Module): The detector, frozen and in evaluation mode.
        answer (Callable): Runs it and gives all that is wanted of it.
        fuse (bool): Whether to fuse batch norms with convolutions.
        channels_last (bool): Whether to lay it out with channels last.
        spared (Collection[nn.Module]): Convolutions whose own output is wanted.

    Returns:
        list[ConvBNFusion or ChannelsLast]: The steps that were kept, to be undone in reverse order.
    """
    # Autocast's rounding, or TF32's, would hide what is to be seen.
    with (
        torch.autocast(next(detector.parameters()).device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
    ):
        with conv_bn_pairs(detector) as found:
            expected = answer()
        pairs = [pair for pair in found if pair[0] not in spared]
        steps: list[ConvBNFusion | ChannelsLast] = [ConvBNFusion(pairs)] if fuse and pairs else []
        steps += [ChannelsLast(detector)] if channels_last else []
        return [step for step in steps if _is_exact(step, answer, expected)]


def _is_exact(
    step: ConvBNFusion | ChannelsLast, answer: Callable[[], list[Tensor]], expected: list[Tensor]
) -> bool:
    """Try a step, and take it back where the answers are others then."""
    step.apply()
    try:
        difference = torch.stack([_difference(*pair) for pair in zip(answer(), expected)]).max()
        fault = f'what it gives differs by {difference:.1e} of its norm'
        exact = bool(difference <= TOLERANCE)  # NaN is not
    except RuntimeError as error:  # a view of what is no longer laid out for it, say
        fault = f'{type(error).__name__}: {" ".join(str(error).split())}'
        exact = False
    if not exact:
        step.undo()
        print_log(f'The teacher runs without {step.name}: {fault}', 'current', logging.WARNING)
    return exact


def _difference(got: Tensor, want: Tensor) -> Tensor:
    """The norm of a difference over that of what is wanted; 0 / 0 is 0."""
    got, want = got.double(), want.double()
    return (got - want).norm() / want.norm().clamp(min=1e-30)


def _pass_on(inputs: Tensor) -> Tensor:
    return inputs

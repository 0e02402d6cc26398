"""List the layers of a detector that a tap can read: their sizes, strides and costs."""

import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nst_det.errors import UserError, one_line
from nst_det.models.distillers.taps.dummy_batch import dummy_batch
from nst_det.models.distillers.taps.geometry import compute_strides
from nst_det.models.distillers.taps.recorder import Recorder
from nst_det.models.distillers.taps.tap import Tap

BODY = ('backbone', 'neck')
LEVEL_STRIDES = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Layer:
    """A feature map that a tap can read.

    Args:
        name (str): The spelling for a tap, such as ``'backbone.layer3'`` or ``'neck[2]'``.
        channels (int): C of the feature map `(N, C, H, W)`.
        size (tuple[int, int]): H and W of the feature map.
        stride (float, optional): Image pixels per position; None if there is one position only.
        flops (int): Floating-point operations (two per multiply-add) from the image to here.
        frozen (bool): Whether no parameter from the image to here is trained.
        tensor (object): An identifier that is equal for two names of the same feature map.
    """

    name: str
    channels: int
    size: tuple[int, int]
    stride: float | None
    flops: int
    frozen: bool
    tensor: object

    @property
    def module(self) -> str:
        """str: The path of the module that returns the feature map."""
        return Tap(self.name).path

    @property
    def part(self) -> str:
        """str: The part of the detector that the module belongs to, such as ``'backbone'``."""
        return self.module.split('.')[0]


@dataclass(frozen=True)
class ForwardPass:
    """The feature maps of one forward pass of a detector.

    Args:
        detector (str): The class of the detector.
        batch_input_shape (tuple[int, int]): H and W of the batch in pixels, padding included.
        layers (list[Layer]): The layers in the order of the forward pass.
        useful (list[Layer]): Of these the stages and blocks of the backbone and the outputs of the
            neck, each feature map once.
        flops (int): Floating-point operations of the forward pass, up to its failure if it failed.
        failure (str, optional): The error that ended the forward pass after the last of the layers.
    """

    detector: str
    batch_input_shape: tuple[int, int]
    layers: list[Layer]
    useful: list[Layer]
    flops: int
    failure: str | None

    def useful_in(self, part: str) -> list[Layer]:
        """Select the useful layers of one part.

        Args:
            part (str): ``'backbone'`` or ``'neck'``.
        """
        return [layer for layer in self.useful if layer.part == part]


def stride_of(batch_input_shape: Sequence[int], size: Sequence[int]) -> float | None:
    """Compute the image pixels per position of a feature map.

    Args:
        batch_input_shape (Sequence[int]): H and W of the batch in pixels.
        size (Sequence[int]): H and W of the feature map.

    Returns:
        float | None: The power of two that gives this size, or else the quotient of the sizes, the
        geometric mean of both directions; None if there is one position only.
    """
    if max(size) == 1:
        return None
    vertical, horizontal = compute_strides(batch_input_shape, size)
    return vertical if vertical == horizontal else round(math.sqrt(vertical * horizontal), 1)


@torch.no_grad()
def list_layers(
    detector: nn.Module, image_shape: Sequence[int], body_only: bool = False
) -> ForwardPass:
    """Run a detector once on a dummy batch and list the feature maps that its modules return.

    A feature map that a later module overwrites in place is left out. Costs are counted, not timed:
    convolutions and matrix products, but not the compiled operations of mmcv.

    Args:
        detector (nn.Module): The detector.
        image_shape (Sequence[int]): H and W of the image in pixels, see :func:`padded_shape`.
        body_only (bool): Stop before the heads. Defaults to False.

    Returns:
        ForwardPass: The layers. If the forward pass fails in the heads, the layers before.

    Raises:
        UserError: If the forward pass fails before it gives any feature map.
    """
    batch = dummy_batch(detector, image_shape)
    body = [part for part in BODY if getattr(detector, part, None) is not None]
    counter = FlopCounterMode(display=False)
    notes = _LayerNotes(detector, batch['inputs'].shape, counter)
    last = body[-1] if body_only and body else None
    failure = None
    with Recorder(is_complete=lambda: last in notes.calls) as recorder:
        for name, module in detector.named_modules():
            if name:
                recorder.on_output(module, partial(notes.take, name))
        try:
            with _all_frozen(detector), counter:
                detector(**batch, mode='tensor')
        except Exception as error:  # a head may raise anything
            failure = one_line(error)
    layers = notes.layers()
    if not layers:
        raise UserError(
            f'{type(detector).__name__} gave no feature map for an image of {image_shape[0]} × '
            f'{image_shape[1]}: {failure or "no module returned one"}'
        )
    return ForwardPass(
        detector=type(detector).__name__,
        batch_input_shape=tuple(batch['inputs'].shape[2:]),
        layers=layers,
        useful=_useful(detector, layers),
        flops=counter.get_total_flops(),
        failure=failure,
    )


@contextmanager
def _all_frozen(detector: nn.Module) -> Iterator[None]:
    """Freeze a detector inside a ``with`` block: the counter tracks all that requires gradients."""
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    detector.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class _LayerNotes:
    """Notes on the feature maps of a forward pass.

    Args:
        detector (nn.Module): The detector.
        images (Sequence[int]): The shape of its batch, `(1, 3, H, W)`.
        counter (FlopCounterMode): The counter of its operations.
    """

    def __init__(
        self, detector: nn.Module, images: Sequence[int], counter: FlopCounterMode
    ) -> None:
        self.trained_modules = {
            name
            for name, module in detector.named_modules()
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        }
        self.images = images
        self.counter = counter
        self.calls: dict[str, int] = {}
        self.frozen = True
        self.found: list[tuple[str, int, str, int, dict]] = []
        self.tensors: list[weakref.ref] = []
        self.versions: list[int] = []

    def take(self, name: str, call: int, output: Any) -> None:
        """Note the feature maps that a module returned.

        Args:
            name (str): The path of the module.
            call (int): The number of the call of this module.
            output (Any): What it returned.
        """
        self.calls[name] = call + 1
        self.frozen = self.frozen and name not in self.trained_modules
        for pick, tensor in _tensors(output):
            for level, feature_map in _feature_maps(name + pick, tensor, self.images):
                number = self._number(tensor)
                self.versions[number] = tensor._version
                facts = dict(
                    channels=feature_map.size(1),
                    size=tuple(feature_map.shape[2:]),
                    stride=stride_of(self.images[2:], feature_map.shape[2:]),
                    flops=self.counter.get_total_flops(),
                    frozen=self.frozen,
                    tensor=(number, level),
                )
                self.found.append((name, call, pick + level, tensor._version, facts))

    def layers(self) -> list[Layer]:
        """List the layers, without those that were overwritten in place later."""
        layers = []
        for name, call, picks, version, facts in self.found:
            number, _ = facts['tensor']
            if version == self.versions[number]:
                spelling = f'{name}@{call}' if self.calls[name] > 1 else name
                layers.append(Layer(spelling + picks, **facts))
        return layers

    def _number(self, tensor: Tensor) -> int:
        """The number of a tensor, the same as before if it was noted before."""
        for number, reference in enumerate(self.tensors):
            if reference() is tensor:
                return number
        self.tensors.append(weakref.ref(tensor))
        self.versions.append(0)
        return len(self.tensors) - 1


def _tensors(output: object) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the tensors that a module returned, each with the picks of a tap."""
    if isinstance(output, Tensor):
        yield '', output
    elif isinstance(output, (Mapping, list, tuple)):
        items = output.items() if isinstance(output, Mapping) else enumerate(output)
        for key, value in items:
            pick = '' if len(output) == 1 else f'[{key!r}]'
            yield from ((pick + picks, tensor) for picks, tensor in _tensors(value))


def _feature_maps(name: str, tensor: Tensor, images: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the feature maps in a tensor: one, or one per level of a sequence."""
    if tensor.ndim not in (3, 4) or not tensor.is_floating_point():
        return
    levels = [f'/{stride}' for stride in LEVEL_STRIDES] if tensor.ndim == 3 else []
    for level in ['', *levels]:
        try:
            yield level, Tap(name + level).as_map(tensor, images, 'student')
        except UserError:
            continue
        if level == '':
            return


def _useful(detector: nn.Module, layers: list[Layer]) -> list[Layer]:
    """Choose the layers of stages, blocks and necks, each feature map once by its best name."""
    modules = {*BODY, *_blocks(getattr(detector, 'backbone', nn.Identity()), 'backbone')}
    best: dict[object, Layer] = {}
    for layer in layers:
        if layer.module in modules and layer.stride is not None:
            key = layer.part, layer.tensor
            best[key] = min(best.get(key, layer), layer, key=_name_order)
    return [layer for layer in layers if layer in best.values()]


def _name_order(layer: Layer) -> tuple:
    """Sort names of one feature map: the cheapest, then a stage's own name, then the shortest."""
    return layer.flops, layer.module == 'backbone', '[' in layer.name, len(layer.name)


def _blocks(module: nn.Module, path: str) -> Iterator[str]:
    """List the modules that are chained, such as stages and blocks, but not a block's branches."""
    for name, child in module.named_children():
        child_path = f'{path}.{name}'
        if sum(parameter.ndim > 1 for parameter in child.parameters()) > 1:
            yield child_path
        if isinstance(child, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            yield from _blocks(child, child_path)

"""What can be tapped of a detector: its feature maps, their strides, the cost to get there."""

import math
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nst_det.errors import UserError, one_line
from nst_det.models.distillers.taps.dummy_batch import dummy_batch
from nst_det.models.distillers.taps.geometry import compute_strides
from nst_det.models.distillers.taps.tap import Tap

BODY = ('backbone', 'neck')
LEVEL_STRIDES = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Layer:
    """A feature map that can be tapped.

    Args:
        name (str): How a tap spells it, such as ``'backbone.layer3'`` or ``'neck[2]'``.
        channels (int): C of the map `(N, C, H, W)`.
        size (tuple[int, int]): Its H and W.
        stride (float, optional): Image pixels per position; None for a map of one position.
        flops (int): Floating-point operations (two per multiply-add) from the image to here.
        frozen (bool): Whether nothing up to here learns.
        tensor (object): Equal for two layers that are one and the same map.
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
        """str: The dotted path of the module whose output it is."""
        return Tap(self.name).path

    @property
    def part(self) -> str:
        """str: The part of the detector that it belongs to, such as ``'backbone'``."""
        return self.module.split('.')[0]


@dataclass(frozen=True)
class ForwardPass:
    """The feature maps of one forward pass of a detector.

    Args:
        detector (str): The detector's class.
        canvas (tuple[int, int]): H and W of the image, its padding included.
        layers (list[Layer]): The maps in the order of the forward pass.
        useful (list[Layer]): Of those, the maps of the backbone's stages and blocks and of the
            neck, each once.
        flops (int): Floating-point operations of the forward pass, as far as it came.
        failure (str, optional): What stopped it after the last of the layers.
    """

    detector: str
    canvas: tuple[int, int]
    layers: list[Layer]
    useful: list[Layer]
    flops: int
    failure: str | None

    def of(self, part: str) -> list[Layer]:
        """The useful layers of the ``'backbone'`` or the ``'neck'``."""
        return [layer for layer in self.useful if layer.part == part]


def stride_of(canvas: Sequence[int], size: Sequence[int]) -> float | None:
    """How many image pixels there are per position of a map.

    Args:
        canvas (Sequence[int]): H and W of the image.
        size (Sequence[int]): H and W of the map.

    Returns:
        float | None: The power of 2 that gives a map of this size, else the quotient of the sizes;
        None for a map of one position.
    """
    if max(size) == 1:
        return None
    vertical, horizontal = compute_strides(canvas, size)
    return vertical if vertical == horizontal else round(math.sqrt(vertical * horizontal), 1)


@torch.no_grad()
def list_layers(detector: nn.Module, canvas: Sequence[int], body_only: bool = False) -> ForwardPass:
    """Run a detector once on noise and note which feature maps its modules return.

    Maps that a later module overwrites in place are left out. Costs are counted per operation
    (convolutions and matrix products), not timed; mmcv's own compiled operations are not counted.

    Args:
        detector (nn.Module): The detector.
        canvas (Sequence[int]): H and W of the image, see :func:`padded_shape`.
        body_only (bool): Stop where the heads begin. Defaults to False.

    Returns:
        ForwardPass: Its maps. Where the forward pass fails in the heads, those before.

    Raises:
        UserError: Where it fails before any map is there.
    """
    batch = dummy_batch(detector, canvas)
    body = [part for part in BODY if getattr(detector, part, None) is not None]
    counter = FlopCounterMode(display=False)
    last = body[-1] if body_only and body else None
    notes = _Notes(detector, batch['inputs'].shape, counter, last)
    handles = [
        module.register_forward_hook(partial(notes.take, name))
        for name, module in detector.named_modules()
        if name
    ]
    failure = None
    try:
        with _nothing_to_learn(detector), counter:
            detector(**batch, mode='tensor')
    except _BodyDone:
        pass
    except Exception as error:  # whatever a head may raise
        failure = one_line(error)
    finally:
        for handle in handles:
            handle.remove()
    layers = notes.layers()
    if not layers:
        raise UserError(
            f'{type(detector).__name__} gave no feature map for an image of {canvas[0]} × '
            f'{canvas[1]}: {failure or "no module returned one"}'
        )
    return ForwardPass(
        detector=type(detector).__name__,
        canvas=tuple(batch['inputs'].shape[2:]),
        layers=layers,
        useful=_useful(detector, layers),
        flops=counter.get_total_flops(),
        failure=failure,
    )


@contextmanager
def _nothing_to_learn(detector: nn.Module) -> Iterator[None]:
    """Freeze a detector for a while: the counter follows whatever looks as if it had a gradient."""
    learning = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    detector.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class _BodyDone(BaseException):
    """Leaves a forward pass of which the heads are not needed."""


class _Notes:
    """What the hooks of a forward pass note.

    Args:
        detector (nn.Module): The detector.
        images (Sequence[int]): The shape of its batch, `(1, 3, H, W)`.
        counter (FlopCounterMode): Counts its operations.
        last (str, optional): The module after which to stop.
    """

    def __init__(
        self,
        detector: nn.Module,
        images: Sequence[int],
        counter: FlopCounterMode,
        last: str | None,
    ) -> None:
        self.learners = {
            name
            for name, module in detector.named_modules()
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        }
        self.images = images
        self.counter = counter
        self.last = last
        self.calls: Counter[str] = Counter()
        self.learning = False
        self.found: list[tuple[str, int, str, int, dict]] = []
        self.tensors: list[weakref.ref] = []
        self.versions: list[int] = []

    def take(self, name: str, module: nn.Module, inputs: object, output: object) -> None:
        """Note the maps that a module returned: its forward hook."""
        self.learning = self.learning or name in self.learners
        for element, tensor in _tensors(output):
            for level, feature_map in _maps(name + element, tensor, self.images):
                which = self._identify(tensor)
                self.versions[which] = tensor._version
                facts = dict(
                    channels=feature_map.size(1),
                    size=tuple(feature_map.shape[2:]),
                    stride=stride_of(self.images[2:], feature_map.shape[2:]),
                    flops=self.counter.get_total_flops(),
                    frozen=not self.learning,
                    tensor=(which, level),
                )
                spelling = element + level
                self.found.append((name, self.calls[name], spelling, tensor._version, facts))
        self.calls[name] += 1
        if name == self.last:
            raise _BodyDone

    def layers(self) -> list[Layer]:
        """The maps that can be tapped."""
        return [
            Layer(name + (f'@{call}' if self.calls[name] > 1 else '') + spelling, **facts)
            for name, call, spelling, version, facts in self.found
            if version == self.versions[facts['tensor'][0]]
        ]

    def _identify(self, tensor: Tensor) -> int:
        for i, other in enumerate(self.tensors):
            if other() is tensor:
                return i
        self.tensors.append(weakref.ref(tensor))
        self.versions.append(0)
        return len(self.tensors) - 1


def _tensors(output: object) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a module returned, each with how a tap picks it."""
    if isinstance(output, Tensor):
        yield '', output
    elif isinstance(output, (Mapping, list, tuple)):
        items = output.items() if isinstance(output, Mapping) else enumerate(output)
        for key, value in items:
            pick = '' if len(output) == 1 else f'[{key!r}]'
            yield from ((pick + rest, tensor) for rest, tensor in _tensors(value))


def _maps(name: str, tensor: Tensor, images: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    """What a tap can make of a tensor: one map, or one per level of a transformer's sequence."""
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
    """Choose the maps of stages, blocks and necks; of several names of one map, the plainest."""
    candidates = {*BODY, *_blocks(getattr(detector, 'backbone', nn.Identity()), 'backbone')}
    best: dict[object, Layer] = {}
    for layer in layers:
        if layer.module in candidates and layer.stride is not None:
            same = layer.part, layer.tensor
            best[same] = min(best.get(same, layer), layer, key=_plainness)
    return [layer for layer in layers if layer in best.values()]


def _plainness(layer: Layer) -> tuple:
    """The cheapest to reach is the best, then a stage by its own name, then the shortest."""
    return layer.flops, layer.module == 'backbone', '[' in layer.name, len(layer.name)


def _blocks(module: nn.Module, path: str) -> Iterator[str]:
    """The modules that are chained, as stages and blocks are; a block's branches are not."""
    for name, child in module.named_children():
        where = f'{path}.{name}'
        if sum(parameter.ndim > 1 for parameter in child.parameters()) > 1:
            yield where
        if isinstance(child, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            yield from _blocks(child, where)

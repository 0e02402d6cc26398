"""Taps: the names of the feature maps that a transfer reads from a detector."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nst_det.errors import UserError, nearest
from nst_det.models.distillers.taps.geometry import (
    grid_size,
    has_power_of_two_stride,
    possible_levels,
)

_PICK = r"\[(-?\d+|'[^']+')\]"
_SPELLING = re.compile(
    r'(?P<prefix>input:)?(?P<path>[^\[\]@/:\s]+)(?:@(?P<call>\d+))?'
    rf'(?P<picks>(?:{_PICK})*)(?:/(?P<stride>[1-9]\d*))?'
)


class Tap:
    """The output, or the input, of one module of a detector, named by the path of the module.

    Args:
        layer (str): The path as ``named_modules()`` spells it, such as ``'backbone.inception_4b'``.
            If that is not enough, add, in this order:

            - ``'input:backbone.layer3'`` is the input of the module, not its output;
            - ``'bbox_head.cls_convs.0@2'`` is the third call of a module that is called several
              times in a forward pass;
            - ``'neck[2]'`` picks an element of a module that returns a sequence,
              ``"backbone['c4']"`` of a module that returns a dict, ``'head[0][1]'`` of a sequence
              inside a sequence. ``'input:bbox_head[0]'`` picks in the same way from several
              inputs, or from one input that is a sequence;
            - ``'encoder/16'`` says that a transformer's sequence `(N, L, C)` has one position per
              16 × 16 pixels. If the sequence contains several levels, one after another, it picks
              the level of that stride. A sequence of a single level with stride 4, 8, 16, 32, 64 or
              128 does not need it. ``'backbone/16'`` picks, of several feature maps that the module
              returns, the one of that stride: see
              :func:`~nst_det.models.distillers.taps.recorder.pick_by_stride`.

    Attributes:
        reads_input (bool): Whether the tap reads the input of the module.
        prefix (str): ``'input:'`` if the tap reads the input, else ``''``.
        path (str): The path of the module.
        call (int, optional): The number of the call, counted from 0.
        picks (list[int or str]): What to pick from nested sequences and dicts.
        stride (int, optional): The stride in pixels, for a sequence.

    Raises:
        UserError: If the text does not have that form.
    """

    def __init__(self, layer: str) -> None:
        spelling = _SPELLING.fullmatch(layer) if isinstance(layer, str) else None
        if spelling is None:
            raise UserError(
                f'layer is {layer!r}, expected a module path such as '
                "'backbone.inception_4b', 'neck[2]', 'bbox_head.cls_convs.0@1', 'encoder/16' or "
                "'input:backbone.layer3'"
            )
        self.layer = layer
        self.prefix = spelling['prefix'] or ''
        self.reads_input = bool(self.prefix)
        self.path = spelling['path']
        self.call, self.stride = (
            None if spelling[part] is None else int(spelling[part]) for part in ('call', 'stride')
        )
        self.picks = [
            pick.strip("'") if pick.startswith("'") else int(pick)
            for pick in re.findall(_PICK, spelling['picks'])
        ]

    def module(self, detector: nn.Module, role: str) -> nn.Module:
        """Find the tapped module.

        Args:
            detector (nn.Module): Where to look.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Raises:
            UserError: If the detector has no such module. The message lists similar paths.
        """
        modules = dict(detector.named_modules(remove_duplicate=False))
        modules.pop('', None)
        if self.path not in modules:
            raise UserError(
                f"the {role} ({type(detector).__name__}) has no layer '{self.path}': "
                f'{nearest(self.path, modules)}'
            )
        return modules[self.path]

    def select(self, value: Any, role: str) -> Tensor:
        """Pick the tapped tensor from what the module returned, or from its inputs.

        Args:
            value (Tensor, Sequence or Mapping): What the module returned; or for a tap on the
                input, the inputs of the module: a tuple, or a dict with the positional inputs under
                0, 1, … and the others under their names.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Returns:
            Tensor: The same tensor object, `(N, C, H, W)` or `(N, L, C)`: see :meth:`as_map`.

        Raises:
            UserError: If the picks lead to something else.
        """
        where = f"the {role}'s layer '{self.layer}'"
        picked = re.split(r'[\[/]', self.layer)[0]
        if self.reads_input and len(value) == 1:
            (value,) = value.values() if isinstance(value, Mapping) else value
        picks = list(self.picks)
        while isinstance(value, (Sequence, Mapping)) and not isinstance(value, str):
            keys = list(value) if isinstance(value, Mapping) else range(len(value))
            pick = picks.pop(0) if picks else None
            if pick is None and len(keys) == 1:
                pick = keys[0]
            if pick not in keys and not (
                isinstance(value, Sequence) and isinstance(pick, int) and pick + len(keys) in keys
            ):
                choices = ', '.join(f'{picked}[{key!r}]' for key in keys) or 'the other layers'
                raise UserError(f'{where} gives {len(keys)} values: choose one of {choices}')
            value = value[pick]
            picked = f'{picked}[{pick!r}]'
        if not isinstance(value, Tensor) or value.ndim not in (3, 4):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f'{where} gives {shape}, expected a feature map (N, C, H, W), or a sequence '
                '(N, L, C) of its positions'
            )
        if picks:
            raise UserError(f"{where} gives one feature map, not a sequence: write '{picked}'")
        return value

    def as_map(self, tapped: Tensor, images: Sequence[int], role: str) -> Tensor:
        """Give a tapped tensor the form of a feature map.

        A transformer's sequence has one position per stride × stride pixels, row by row.

        Args:
            tapped (Tensor): What :meth:`select` gave, `(N, C, H, W)` or `(N, L, C)`.
            images (Sequence[int]): The shape of the detector's batch of images, `(N, 3, H, W)`.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Returns:
            Tensor: `(N, C, H, W)`, a view.

        Raises:
            UserError: If it is no feature map of these images, or its H and W are ambiguous.
        """
        where = f"the {role}'s layer '{self.layer}'"
        batch_input_shape = images[2], images[3]
        if len(tapped) != images[0]:
            raise UserError(
                f'{where} gives {tuple(tapped.shape)} for {images[0]} images, expected one feature '
                'map per image: choose a layer of the backbone or the neck, not one that works on '
                'regions'
            )
        if tapped.ndim == 3:
            return self._unfold(tapped, batch_input_shape, where)
        if self.stride is not None:
            plain = self.layer.removesuffix(f'/{self.stride}')
            raise UserError(f"{where} gives a feature map (N, C, H, W): write '{plain}'")
        if has_power_of_two_stride(
            batch_input_shape, tapped.shape[1:3]
        ) and not has_power_of_two_stride(batch_input_shape, tapped.shape[2:]):
            raise UserError(
                f'{where} gives {tuple(tapped.shape)} for images of {batch_input_shape}, which is '
                '(N, H, W, C): choose a layer that gives (N, C, H, W)'
            )
        return tapped

    def _unfold(self, sequence: Tensor, batch_input_shape: tuple[int, int], where: str) -> Tensor:
        """Reshape a sequence `(N, L, C)`, or one of its levels, to `(N, C, H, W)`."""
        strides = self._levels(sequence, batch_input_shape, where)
        level = strides.index(self.stride) if self.stride else 0
        sizes = [grid_size(batch_input_shape, stride) for stride in strides]
        start = sum(math.prod(size) for size in sizes[:level])
        return sequence.narrow(1, start, math.prod(sizes[level])).mT.unflatten(2, sizes[level])

    def _levels(
        self, sequence: Tensor, batch_input_shape: tuple[int, int], where: str
    ) -> list[int]:
        """Find the strides of the levels that make up a sequence."""
        length = sequence.shape[1]
        gives = f'{where} gives (N, L, C) = {tuple(sequence.shape)} for images of '
        gives += str(batch_input_shape)
        candidates = possible_levels(batch_input_shape, length)
        if self.stride is not None:
            if math.prod(grid_size(batch_input_shape, self.stride)) == length:
                return [self.stride]
            candidates = [strides for strides in candidates if self.stride in strides]
            if len(candidates) != 1:
                raise UserError(f'{gives}, which is no grid of stride {self.stride}')
        if len(candidates) != 1:
            raise UserError(
                f"{gives}, whose H and W are ambiguous: write '{self.layer}/16' if it has one "
                'position per 16 × 16 pixels, or choose a layer that gives (N, C, H, W)'
            )
        (strides,) = candidates
        if self.stride is None and len(strides) > 1:
            choices = ', '.join(f"'{self.layer}/{stride}'" for stride in strides)
            raise UserError(
                f'{gives}, {len(strides)} levels one after another: choose one of {choices}'
            )
        return strides

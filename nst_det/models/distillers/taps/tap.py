"""Taps: which feature map a transfer reads, and the reading of it during a forward pass."""

import math
import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nst_det.errors import UserError, nearest
from nst_det.models.distillers.taps.geometry import grid_size, is_grid, level_runs

_PICK = r"\[(-?\d+|'[^']+')\]"
_SPELLING = re.compile(
    rf'(?P<path>[^\[\]@/\s]+)(?:@(?P<call>\d+))?(?P<picks>(?:{_PICK})*)(?:/(?P<stride>[1-9]\d*))?'
)


class Tap:
    """The output of one module of a detector, by the module's dotted path.

    Args:
        layer (str): The path as ``named_modules()`` spells it, such as ``'backbone.inception_4b'``,
            and where it needs more, in this order:

            - ``'bbox_head.cls_convs.0@2'`` is the third run of a module that runs several times in
              a forward pass;
            - ``'neck[2]'`` picks an element of a module that returns a sequence,
              ``"backbone['c4']"`` of one that returns a dict, ``'head[0][1]'`` of one in another;
            - ``'encoder/16'`` says that a transformer's sequence `(N, L, C)` has a position per
              16 × 16 pixels; of several levels one after another it picks the one of that stride.
              One level of stride 4, 8, 16, 32, 64 or 128 needs no telling.

    Raises:
        UserError: Where the text is not of that form.
    """

    def __init__(self, layer: str) -> None:
        spelling = _SPELLING.fullmatch(layer) if isinstance(layer, str) else None
        if spelling is None:
            raise UserError(
                f'layer is {layer!r}, expected a module path such as '
                "'backbone.inception_4b', 'neck[2]', 'bbox_head.cls_convs.0@1' or 'encoder/16'"
            )
        self.layer = layer
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
            UserError: Where the detector has no such module; it lists the nearest real ones.
        """
        modules = dict(detector.named_modules(remove_duplicate=False))
        modules.pop('', None)
        if self.path not in modules:
            raise UserError(
                f"the {role} ({type(detector).__name__}) has no layer '{self.path}': "
                f'{nearest(self.path, modules)}'
            )
        return modules[self.path]

    def select(self, output: object, role: str) -> Tensor:
        """Pick the tapped tensor out of what the module returned.

        Args:
            output (Tensor, Sequence or Mapping): What the module returned.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Returns:
            Tensor: The very tensor, `(N, C, H, W)` or `(N, L, C)`: see :meth:`as_map`.

        Raises:
            UserError: Where the module returned something else.
        """
        where = f"the {role}'s layer '{self.layer}'"
        picked = re.split(r'[\[/]', self.layer)[0]
        picks = list(self.picks)
        while isinstance(output, (Sequence, Mapping)) and not isinstance(output, str):
            keys = list(output) if isinstance(output, Mapping) else range(len(output))
            pick = picks.pop(0) if picks else None
            if pick is None and len(keys) == 1:
                pick = keys[0]
            if pick not in keys and not (
                isinstance(output, Sequence) and isinstance(pick, int) and pick + len(keys) in keys
            ):
                choices = ', '.join(f'{picked}[{key!r}]' for key in keys)
                raise UserError(f'{where} returns {len(keys)} maps: choose one of {choices}')
            output = output[pick]
            picked = f'{picked}[{pick!r}]'
        if not isinstance(output, Tensor) or output.ndim not in (3, 4):
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(
                f'{where} gives {shape}, expected a feature map (N, C, H, W), or a sequence '
                '(N, L, C) of its positions'
            )
        if picks:
            raise UserError(f"{where} returns one map, not a sequence: write '{picked}'")
        return output

    def as_map(self, tapped: Tensor, images: Sequence[int], role: str) -> Tensor:
        """Give a tapped tensor the form of a feature map.

        A transformer's sequence has one position per stride × stride pixels, row by row.

        Args:
            tapped (Tensor): What :meth:`select` gave, `(N, C, H, W)` or `(N, L, C)`.
            images (Sequence[int]): The shape of the images that the detector saw, `(N, 3, H, W)`.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Returns:
            Tensor: `(N, C, H, W)`, a view.

        Raises:
            UserError: Where it is no map of these images, or its form cannot be told.
        """
        where = f"the {role}'s layer '{self.layer}'"
        canvas = images[2], images[3]
        if len(tapped) != images[0]:
            raise UserError(
                f'{where} gives {tuple(tapped.shape)} for {images[0]} images, expected one map per '
                'image: choose a layer of the backbone or the neck, not one that sees regions'
            )
        if tapped.ndim == 3:
            return self._unfold(tapped, canvas, where)
        if self.stride is not None:
            plain = self.layer.removesuffix(f'/{self.stride}')
            raise UserError(f"{where} gives a map (N, C, H, W): write '{plain}'")
        if is_grid(canvas, tapped.shape[1:3]) and not is_grid(canvas, tapped.shape[2:]):
            raise UserError(
                f'{where} gives {tuple(tapped.shape)} for images of {canvas}, which is '
                '(N, H, W, C): choose a layer that gives (N, C, H, W)'
            )
        return tapped

    def _unfold(self, sequence: Tensor, canvas: tuple[int, int], where: str) -> Tensor:
        """Lay a transformer's sequence `(N, L, C)`, or one level of it, out as `(N, C, H, W)`."""
        gives = f'{where} gives (N, L, C) = {tuple(sequence.shape)} for images of {canvas}'
        runs = level_runs(canvas, sequence.shape[1])
        if self.stride is not None:
            if math.prod(grid_size(canvas, self.stride)) == sequence.shape[1]:
                runs = [[self.stride]]
            runs = [run for run in runs if self.stride in run]
            if len(runs) != 1:
                raise UserError(f'{gives}, which is no grid of stride {self.stride}')
        if len(runs) != 1:
            raise UserError(
                f"{gives}, whose H and W cannot be told: write '{self.layer}/16' if it has a "
                'position per 16 × 16 pixels, or choose a layer that gives (N, C, H, W)'
            )
        (run,) = runs
        if self.stride is None and len(run) > 1:
            choices = ', '.join(f"'{self.layer}/{stride}'" for stride in run)
            raise UserError(
                f'{gives}, {len(run)} levels one after another: choose one of {choices}'
            )
        level = run.index(self.stride) if self.stride else 0
        sizes = [grid_size(canvas, stride) for stride in run]
        start = sum(math.prod(size) for size in sizes[:level])
        return sequence.narrow(1, start, math.prod(sizes[level])).mT.unflatten(2, sizes[level])

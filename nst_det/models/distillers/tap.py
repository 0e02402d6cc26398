"""Taps: which feature map a transfer reads, and the reading of it during a forward pass."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from nst_det.errors import UserError, nearest

_SPELLING = re.compile(r"(?P<path>[^\[\]\s]+)(?:\[(?P<index>-?\d+|'[^']+')\])?")


class Tap:
    """The output of one module of a detector, by the module's dotted path.

    Args:
        layer (str): The path as ``named_modules()`` spells it, such as ``'backbone.inception_4b'``;
            ``'neck[2]'`` picks an element of a module that returns a sequence, and
            ``"backbone['c4']"`` of one that returns a dict.

    Raises:
        UserError: Where the text is not of that form.
    """

    def __init__(self, layer: str) -> None:
        spelling = _SPELLING.fullmatch(layer) if isinstance(layer, str) else None
        if spelling is None:
            raise UserError(
                f'layer is {layer!r}, expected a module path such as '
                "'backbone.inception_4b' or 'neck[2]'"
            )
        self.layer = layer
        self.path = spelling['path']
        index = spelling['index']
        if index is not None:
            index = index.strip("'") if index.startswith("'") else int(index)
        self.index = index

    def module(self, detector: nn.Module, role: str) -> nn.Module:
        """Find the tapped module.

        Args:
            detector (nn.Module): Where to look.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Raises:
            UserError: Where the detector has no such module; it lists the nearest real ones.
        """
        modules = dict(detector.named_modules())
        modules.pop('', None)
        if self.path not in modules:
            raise UserError(
                f"the {role} ({type(detector).__name__}) has no layer '{self.path}': "
                f'{nearest(self.path, modules)}'
            )
        return modules[self.path]

    def select(self, output: object, role: str) -> Tensor:
        """Pick the tapped map out of what the module returned.

        Args:
            output (Tensor, Sequence or dict): What the module returned.
            role (str): ``'student'`` or ``'teacher'``, for the error.

        Raises:
            UserError: Where the module returned something else than one map `(N, C, H, W)`.
        """
        where = f"the {role}'s layer '{self.layer}'"
        if isinstance(output, (Sequence, dict)):
            keys = list(output) if isinstance(output, dict) else list(range(len(output)))
            if self.index is None and len(keys) == 1:
                output = output[keys[0]]
            elif self.index in keys or (isinstance(output, Sequence) and _within(self.index, keys)):
                output = output[self.index]
            else:
                choices = ', '.join(f'{self.path}[{key!r}]' for key in keys)
                raise UserError(f'{where} returns {len(keys)} maps: choose one of {choices}')
        elif self.index is not None:
            raise UserError(f"{where} returns one map, not a sequence: write '{self.path}'")
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(f'{where} gives {shape}, expected a feature map (N, C, H, W)')
        return output


def _within(index: object, keys: list[int]) -> bool:
    return isinstance(index, int) and -len(keys) <= index < len(keys)


class _AllRecorded(BaseException):
    """Leaves a forward pass that nobody needs the rest of; no `except Exception` may stop it."""


@contextmanager
def record(
    detector: nn.Module, taps: Sequence[Tap], role: str, stop_early: bool = False
) -> Iterator[list[Tensor]]:
    """Record the tapped maps of the forward pass that runs inside the ``with`` block.

    The hooks live as long as the block, so that a copied, saved or deployed detector carries none.

    Args:
        detector (nn.Module): The detector that runs.
        taps (Sequence[Tap]): What to record.
        role (str): ``'student'`` or ``'teacher'``, for the errors.
        stop_early (bool): Leave the block as soon as the last tapped module has run. Defaults to
            False.

    Yields:
        list[Tensor]: Filled when the block is left: one map `(N, C, H, W)` per tap, in their order.

    Raises:
        UserError: Where a tapped module does not exist, does not run, or runs more than once.
    """
    modules = [tap.module(detector, role) for tap in taps]
    names = {module: tap.path for module, tap in zip(modules, taps)}
    outputs: dict[nn.Module, object] = {}

    def keep(module, inputs, output):
        if module in outputs:
            raise UserError(
                f"the {role}'s layer '{names[module]}' runs more than once in a forward pass, so "
                'which of its maps is meant is not clear: choose a layer that runs once'
            )
        outputs[module] = output
        if stop_early and len(outputs) == len(names):
            raise _AllRecorded

    maps: list[Tensor] = []
    handles = [module.register_forward_hook(keep) for module in names]
    try:
        yield maps
    except _AllRecorded:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for tap, module in zip(taps, modules):
        if module not in outputs:
            raise UserError(
                f"the {role}'s layer '{tap.path}' did not run in its forward pass: "
                'choose a layer that every image goes through'
            )
        maps.append(tap.select(outputs[module], role))

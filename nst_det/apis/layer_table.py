"""Tables of the layers of one detector, or of two detectors side by side."""

from collections.abc import Iterator
from itertools import zip_longest

from terminaltables import AsciiTable

from nst_det.apis.list_layers import BODY, ForwardPass, Layer

COLUMNS = ['layer', 'channels', 'height × width', 'stride', 'cost to reach']
EMPTY = [''] * len(COLUMNS)


def summary(forward: ForwardPass) -> str:
    """Summarise a forward pass in a line or two.

    Args:
        forward (ForwardPass): The forward pass.

    Returns:
        str: The detector, the size of its batch and its cost; and its error if it failed.
    """
    height, width = forward.batch_input_shape
    lines = [
        f'{forward.detector}: {height} × {width} pixels with padding, '
        f'{forward.flops / 1e9:.1f} GFLOPs (two per multiply-add)'
    ]
    if forward.failure is not None:
        lines.append(
            'The forward pass failed after the last of these layers, so the costs are shares of '
            f'the part that ran: {forward.failure}'
        )
    return '\n'.join(lines)


def table(forward: ForwardPass, all_layers: bool = False) -> str:
    """Tabulate the layers of a detector in the order of its forward pass.

    Args:
        forward (ForwardPass): The forward pass.
        all_layers (bool): All layers, not only the useful ones. Defaults to False.

    Returns:
        str: The table.
    """
    layers = _chosen(forward, all_layers)
    return _draw([COLUMNS, *(_cells(layer, forward) for layer in layers)])


def pair_table(student: ForwardPass, teacher: ForwardPass, all_layers: bool = False) -> str:
    """Tabulate the layers of two detectors, those of equal stride side by side.

    Args:
        student (ForwardPass): The forward pass of the detector on the left.
        teacher (ForwardPass): The forward pass of the detector on the right.
        all_layers (bool): All layers, not only the useful ones. Defaults to False.

    Returns:
        str: The table. ``=`` marks feature maps of equal size; ``~`` marks those where the one on
        the right would be interpolated.
    """
    rows = [[*COLUMNS, '', *COLUMNS]]
    for left, right in _by_stride(_chosen(student, all_layers), _chosen(teacher, all_layers)):
        rows.append([*_cells(left, student), _mark(left, right), *_cells(right, teacher)])
    return _draw(rows)


def _chosen(forward: ForwardPass, all_layers: bool) -> list[Layer]:
    return forward.layers if all_layers else forward.useful


def _by_stride(
    left: list[Layer], right: list[Layer]
) -> Iterator[tuple[Layer | None, Layer | None]]:
    """Pair layers of equal stride and part, beginning with the last layer of both."""

    def group(layer: Layer) -> tuple[float, int]:
        return layer.stride or 0, BODY.index(layer.part) if layer.part in BODY else len(BODY)

    for key in sorted({group(layer) for layer in [*left, *right]}):
        backwards = [
            [layer for layer in reversed(layers) if group(layer) == key] for layers in (left, right)
        ]
        yield from reversed(list(zip_longest(backwards[0], backwards[1])))


def _mark(left: Layer | None, right: Layer | None) -> str:
    if left is None or right is None:
        return ''
    return '=' if left.size == right.size else '~'


def _cells(layer: Layer | None, forward: ForwardPass) -> list[str]:
    if layer is None:
        return EMPTY
    return [
        f'{layer.name} (frozen)' if layer.frozen else layer.name,
        str(layer.channels),
        f'{layer.size[0]} × {layer.size[1]}',
        '' if layer.stride is None else f'{layer.stride:g}',
        f'{layer.flops / max(forward.flops, 1):.1%}',
    ]


def _draw(rows: list[list[str]]) -> str:
    drawn = AsciiTable(rows)
    drawn.justify_columns = {
        i: 'left' if name in ('layer', '') else 'right' for i, name in enumerate(rows[0])
    }
    return drawn.table

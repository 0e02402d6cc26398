"""The layers of one detector, or of two side by side, as a table to read."""

from collections.abc import Iterator
from itertools import zip_longest

from terminaltables import AsciiTable

from nst_det.apis.list_layers import BODY, ForwardPass, Layer

COLUMNS = ['layer', 'channels', 'height × width', 'stride', 'cost to reach']
NOTHING = [''] * len(COLUMNS)


def summary(forward: ForwardPass) -> str:
    """Say in a line or two what ran.

    Args:
        forward (ForwardPass): The forward pass.

    Returns:
        str: The detector, the size of its image and its cost; and where it failed.
    """
    height, width = forward.canvas
    lines = [
        f'{forward.detector}: {height} × {width} pixels with padding, '
        f'{forward.flops / 1e9:.1f} GFLOPs (two per multiply-add)'
    ]
    if forward.failure is not None:
        lines.append(
            'It stopped after the last of these layers, so the costs are shares of what ran: '
            f'{forward.failure}'
        )
    return '\n'.join(lines)


def table(forward: ForwardPass, every: bool = False) -> str:
    """Tabulate a detector's layers in the order in which they run.

    Args:
        forward (ForwardPass): Its forward pass.
        every (bool): All of them, not the useful ones only. Defaults to False.

    Returns:
        str: The table.
    """
    return _draw([COLUMNS, *(_cells(layer, forward) for layer in _chosen(forward, every))])


def pair_table(student: ForwardPass, teacher: ForwardPass, every: bool = False) -> str:
    """Tabulate the layers of two detectors, those of one stride side by side.

    Args:
        student (ForwardPass): The forward pass of the one.
        teacher (ForwardPass): And of the other.
        every (bool): All layers, not the useful ones only. Defaults to False.

    Returns:
        str: The table; ``=`` marks where both have maps of one size, ``~`` where the second's
        would be interpolated.
    """
    rows = [[*COLUMNS, '', *COLUMNS]]
    for left, right in _by_stride(_chosen(student, every), _chosen(teacher, every)):
        mark = '' if left is None or right is None else '=' if left.size == right.size else '~'
        cells = [
            NOTHING if layer is None else _cells(layer, forward)
            for layer, forward in [(left, student), (right, teacher)]
        ]
        rows.append([*cells[0], mark, *cells[1]])
    return _draw(rows)


def _chosen(forward: ForwardPass, every: bool) -> list[Layer]:
    return forward.layers if every else forward.useful


def _by_stride(
    left: list[Layer], right: list[Layer]
) -> Iterator[tuple[Layer | None, Layer | None]]:
    """Pair layers of one stride, backbone with backbone and neck with neck, the last of each."""

    def group(layer: Layer) -> tuple[float, int]:
        return layer.stride or 0, BODY.index(layer.part) if layer.part in BODY else len(BODY)

    for key in sorted({group(layer) for layer in [*left, *right]}):
        backwards = [
            [layer for layer in reversed(layers) if group(layer) == key] for layers in (left, right)
        ]
        yield from reversed(list(zip_longest(backwards[0], backwards[1])))


def _cells(layer: Layer, forward: ForwardPass) -> list[str]:
    return [
        layer.name + ' (frozen)' * layer.frozen,
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

"""Draw docs/rooms.svg: the rooms of nst_det, and which of them imports which.

.venv/bin/python docs/_figures/rooms.py
"""

import re
from dataclasses import dataclass
from html import escape

from read_imports import ROOT, room_imports

OUT = ROOT / 'docs' / 'rooms.svg'


@dataclass(frozen=True)
class Room:
    """A box of the picture.

    Args:
        centre (int): Where its middle is, in pixels from the left.
        width (int): Its width in pixels.
        holds (str): What is in it.
        colour (str): The colour of its frame and of its arrows.
    """

    centre: int
    width: int
    holds: str
    colour: str


# From the top to the bottom: a room imports only from the rows below its own.
ROWS = (
    dict(tools=Room(480, 900, 'one script a command: train, test, add_nst, report, …', '#475569')),
    dict(experiments=Room(430, 330, 'several trainings: tables and the report', '#7c3aed')),
    dict(
        apis=Room(260, 300, 'what the tools do, for Python scripts', '#0369a1'),
        engine=Room(700, 250, 'hooks and loops of a training', '#0f766e'),
    ),
    dict(
        cli=Room(150, 200, 'what the tools share', '#b45309'),
        visualization=Room(480, 240, 'figures of the patterns', '#be185d'),
        export=Room(800, 250, 'graphs, verified and described', '#0e7490'),
    ),
    dict(
        compat=Room(120, 200, "today's torch, mmdet 3.3", '#4d7c0f'),
        models=Room(480, 290, 'teacher, student, taps, losses', '#b91c1c'),
        datasets=Room(820, 220, 'VOC, drawn shapes', '#a16207'),
    ),
    dict(
        config=Room(130, 210, 'reads and checks configs', '#334155'),
        evaluation=Room(370, 190, 'metrics, results', '#334155'),
        runtime=Room(600, 210, 'detects with exports', '#334155'),
        fileio=Room(840, 210, 'checkpoints, downloads', '#334155'),
    ),
    dict(
        errors=Room(320, 580, "UserError: a user's mistake in one line", '#334155'),
        version=Room(780, 300, 'the version', '#334155'),
    ),
)
BASE = ROWS[-1]  # rooms without arrows: nearly every room imports them
WIDTH, TOP, HEIGHT, GAP, LANE = 960, 18, 52, 64, 13
TOTAL = TOP + len(ROWS) * (HEIGHT + GAP) - GAP * 3 // 2 + 46


def main() -> None:
    OUT.write_text(draw(room_imports()))


def edges_in(svg: str) -> set[tuple[str, str]]:
    """The imports that a picture shows, as pairs of rooms.

    Args:
        svg (str): The picture, as :func:`draw` makes it.
    """
    return {(start, end) for start, end in re.findall(r'<title>(\w+) imports (\w+)</title>', svg)}


def draw(edges: set[tuple[str, str]]) -> str:
    """Draw the rooms and the arrows between them.

    Args:
        edges (set[tuple[str, str]]): Pairs of an importing and an imported room.

    Returns:
        str: The picture, as SVG.
    """
    shown = sorted(edge for edge in edges if edge[1] not in BASE)
    paths = route(shown)
    colours = {room.colour for row in ROWS for room in row.values()}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {TOTAL}" '
        f'width="{WIDTH}" height="{TOTAL}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{TOTAL}" rx="10" fill="#ffffff"/>',
        *(marker(colour) for colour in sorted(colours)),
    ]
    # Imports that a longer way implies are drawn thin, beneath the others.
    for implied in (True, False):
        lines += [
            arrow(edge, paths[edge], implied)
            for edge in shown
            if is_implied(edge, shown) == implied
        ]
    lines += [box(row, name) for row, rooms in enumerate(ROWS) for name in rooms]
    lines += [f'<text x="{WIDTH // 2}" y="{TOTAL - 16}" {SMALL}>{escape(caption(edges))}</text>']
    return '\n'.join([*lines, '</svg>', ''])


SMALL = 'font-size="13" text-anchor="middle" fill="#475569"'


def caption(edges: set[tuple[str, str]]) -> str:
    """What the picture says of the rooms without arrows, true to the imports."""
    rooms = {name for row in ROWS[:-1] for name in row}
    without = sorted(rooms - {start for start, end in edges if end == 'errors'})
    but = f' but {" and ".join(without)}' if without else ''
    return (
        f'An arrow means "imports"; thin where a longer way of arrows leads there too. '
        f'Every room{but} imports errors.'
    )


def is_implied(edge: tuple[str, str], edges: list[tuple[str, str]]) -> bool:
    """Whether a way of two or more other imports leads from the first room to the second."""
    start, end = edge
    reached, new = set(), {far for near, far in edges if near == start and far != end}
    while new:
        reached |= new
        new = {far for near, far in edges if near in new} - reached
    return end in reached


def place(name: str) -> tuple[int, Room]:
    """The row of a room, and the room."""
    return next((row, rooms[name]) for row, rooms in enumerate(ROWS) if name in rooms)


def top(row: int) -> int:
    """The upper edge of a row; no arrow leads to the last, which is nearer."""
    return TOP + row * (HEIGHT + GAP) - (GAP // 2 if ROWS[row] is BASE else 0)


def route(edges: list[tuple[str, str]]) -> dict[tuple[str, str], list[float]]:
    """Where each arrow is at its start, in the rows that it passes, and at its end.

    An arrow passes a row between two boxes. Arrows that use the same gap, or leave or enter the
    same box, lie side by side.
    """
    ways = {edge: [*passages(edge)] for edge in edges}
    lanes: dict[tuple, list] = {}
    for edge in edges:
        (first, start), (_, end) = place(edge[0]), place(edge[1])
        stops = [start.centre, *ways[edge], end.centre]
        for i, middle in enumerate(stops):
            # Ordered by where the arrow comes from and goes to, so that neighbours do not cross.
            before, after = stops[max(i - 1, 0)], stops[min(i + 1, len(stops) - 1)]
            side = 'start' if i == 0 else 'end' if i == len(stops) - 1 else 'pass'
            order = (before + after, sum(stops[i + 1 :]))
            lanes.setdefault((first + i, side, middle), []).append((order, edge, i))
        ways[edge] = stops
    for (row, side, middle), users in lanes.items():
        room = next((room for room in ROWS[row].values() if room.centre == middle), None)
        wide = room.width * 0.8 if room and side != 'pass' else LANE * (len(users) - 1)
        step = min(wide / max(len(users) - 1, 1), 110)
        for k, (_, edge, i) in enumerate(sorted(users)):
            ways[edge][i] = middle + (k - (len(users) - 1) / 2) * step
    return ways


def passages(edge: tuple[str, str]) -> list[float]:
    """The gaps between boxes, row by row, that are nearest to the straight line of an arrow."""
    (first, start), (last, end) = place(edge[0]), place(edge[1])
    found: list[float] = []
    near: float = start.centre if edge[0] != 'tools' else end.centre
    for row in range(first + 1, last):
        wanted = near + (end.centre - near) / (last - row + 1)
        near = min(gaps(row), key=lambda gap: abs(gap - wanted))
        found.append(near)
    return found


def gaps(row: int) -> list[float]:
    """The middles of the gaps between the boxes of a row, and beside them."""
    rooms = sorted(ROWS[row].values(), key=lambda room: room.centre)
    left = [0, *(room.centre + room.width / 2 for room in rooms)]
    right = [*(room.centre - room.width / 2 for room in rooms), WIDTH]
    return [(a + b) / 2 for a, b in zip(left, right) if b - a > 3 * LANE]


def arrow(edge: tuple[str, str], way: list[float], implied: bool = False) -> str:
    """One arrow, from the bottom of a box to the top of another."""
    (first, room), (last, _) = place(edge[0]), place(edge[1])
    steps = [f'M{way[0]:.0f},{top(first) + HEIGHT}']
    for row, x in enumerate(way[1:], first + 1):
        before, now = top(row - 1) + HEIGHT, top(row) - (9 if row == last else 0)
        bend = (now - before) / 2
        previous = way[row - first - 1]
        steps.append(f'C{previous:.0f},{before + bend:.0f} {x:.0f},{now - bend:.0f} {x:.0f},{now}')
        if row < last:
            steps.append(f'V{top(row) + HEIGHT}')
    style = 'stroke-width="1.2" opacity="0.5"' if implied else 'stroke-width="2.2"'
    return (
        f'<path d="{" ".join(steps)}" fill="none" stroke="{room.colour}" {style} '
        f'marker-end="url(#{marker_id(room.colour)})">'
        f'<title>{edge[0]} imports {edge[1]}</title></path>'
    )


def marker_id(colour: str) -> str:
    return 'head' + colour.lstrip('#')


def marker(colour: str) -> str:
    """An arrow's head."""
    return (
        f'<marker id="{marker_id(colour)}" viewBox="0 0 10 10" refX="1" refY="5" markerWidth="9" '
        f'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0,0 L10,5 L0,10 z" fill="{colour}"/></marker>'
    )


def box(row: int, name: str) -> str:
    """A room's box, with its name and what it holds."""
    room = ROWS[row][name]
    path = ROOT / 'nst_det' / name
    title = 'tools/' if name == 'tools' else f'{name}/' if path.is_dir() else f'{name}.py'
    y = top(row)
    return (
        f'<rect x="{room.centre - room.width / 2:.0f}" y="{y}" width="{room.width}" '
        f'height="{HEIGHT}" rx="8" fill="#f8fafc" stroke="{room.colour}" stroke-width="1.6"/>'
        f'<text x="{room.centre}" y="{y + 23}" font-size="16" font-weight="bold" '
        f'text-anchor="middle" fill="#0f172a">{title}</text>'
        f'<text x="{room.centre}" y="{y + 41}" {SMALL}>{escape(room.holds)}</text>'
    )


if __name__ == '__main__':
    main()

"""The results table as a picture, with the intervals of the gains below it."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nst_det.experiments.paper import PAPER_LINE
from nst_det.experiments.results_table import ResultsTable
from nst_det.fileio.atomic import write_atomically

LINE_HEIGHT = 0.32  # inches
COLUMN_WIDTH = 0.85


def draw_table(table: ResultsTable, out: Path) -> None:
    """Draw the table and below it each gain, with its interval if there are several seeds.

    Args:
        table (ResultsTable): The table.
        out (Path): The PNG to write.
    """
    cells = table.cells()
    gains = [(row.method, table.gain(row)) for row in table.rows]
    gains = [(method, gain) for method, gain in gains if gain is not None]
    heights = [LINE_HEIGHT * (len(cells) + 1)]
    if gains:
        heights.append(LINE_HEIGHT * len(gains) + 0.9)
    columns = len(table.classes) + 2 * len(table.more)
    width = max(7.0, 3.6 + COLUMN_WIDTH * columns)
    figure = Figure(figsize=(width, sum(heights)), dpi=130, layout='constrained')
    axes = figure.subplots(len(heights), height_ratios=heights, squeeze=False)[:, 0]
    _draw_cells(axes[0], table, cells)
    if gains:
        _draw_gains(axes[1], table, gains)
    picture = io.BytesIO()
    figure.savefig(picture, format='png')
    write_atomically(out, picture.getvalue())


def _draw_cells(axes: Axes, table: ResultsTable, cells: list[list[str]]) -> None:
    axes.set_axis_off()
    axes.set_title(f'{table.title}, best in bold', fontsize=10)
    widths = [2.1, 1.7, *[2 * COLUMN_WIDTH] * len(table.more), *[COLUMN_WIDTH] * len(table.classes)]
    drawn = axes.table(
        cellText=cells,
        colWidths=[width / sum(widths) for width in widths],
        cellLoc='center',
        bbox=(0, 0, 1, 1),
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    best = table.best()
    for (line, column), cell in drawn.get_celld().items():
        cell.visible_edges = 'B' if line == 0 else ''
        if column == 0:
            cell.get_text().set_horizontalalignment('left')
        if line == 0 or (line, column) in best:
            cell.get_text().set_fontweight('bold')
        if cells[line][0] == PAPER_LINE:
            cell.get_text().set(color='0.45', fontstyle='italic')


def _draw_gains(axes: Axes, table: ResultsTable, gains: list) -> None:
    for place, (_, gain) in enumerate(gains):
        colour = 'C0' if gain.distinguishable else '0.55'
        axes.plot(gain.mean, place, 'o', color=colour)
        if gain.interval is not None:
            axes.plot(gain.interval, (place, place), color=colour, linewidth=2)
    axes.axvline(0, color='0.3', linewidth=1)
    axes.set_yticks(range(len(gains)), [method for method, _ in gains], fontsize=9)
    axes.set_ylim(len(gains) - 0.4, -0.6)
    axes.grid(axis='x', color='0.9')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    several = any(gain.interval for _, gain in gains)
    note = ', 95 % interval (grey: contains 0)' if several else ' (one seed: no intervals)'
    axes.set_xlabel(f'{table.comparison} {table.baseline}, {table.points}{note}', fontsize=9)

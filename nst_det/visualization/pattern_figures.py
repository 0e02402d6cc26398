"""All figures of the patterns of teacher and student, by name and as files."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nst_det.errors import refuse_existing
from nst_det.visualization.channel_overlays import draw_overlays
from nst_det.visualization.gram_matrices import draw_grams
from nst_det.visualization.layer_view import LayerView
from nst_det.visualization.pattern_clouds import draw_clouds

FIGURES = {'clouds': draw_clouds, 'channels': draw_overlays, 'grams': draw_grams}
FORMATS = ('png', 'svg')


def write_figures(views: list[LayerView], folder: Path, dpi: int = 110) -> Iterator[Path]:
    """Write all figures of each view, as PNG and as SVG.

    Args:
        views (list[LayerView]): The views.
        folder (Path): The folder to write to; it is created if needed.
        dpi (int): Pixels per inch of the PNG files. Defaults to 110.

    Yields:
        Path: Each file after it is written, ``<image>_<layer>_<figure>.png`` or ``.svg``.

    Raises:
        UserError: If one of the files exists already. Then no file is written.
    """
    for view, name, suffix in product(views, FIGURES, FORMATS):
        file = _file(folder, view, name, suffix)
        refuse_existing(file, 'choose another folder with -o, or remove it')
    folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        for name, draw in FIGURES.items():
            figure = draw(view)
            for suffix in FORMATS:
                file = _file(folder, view, name, suffix)
                # Without these two settings, the same figure would give different files.
                with matplotlib.rc_context({'svg.hashsalt': 'nst_det'}):
                    metadata = {'Date': None} if suffix == 'svg' else None
                    figure.savefig(file, dpi=dpi, metadata=metadata)
                yield file


def _file(folder: Path, view: LayerView, figure: str, suffix: str) -> Path:
    return folder / f'{view.name}_{view.label}_{figure}.{suffix}'


def pixels_of(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Render a figure as an image.

    Args:
        figure (Figure): The figure.
        dpi (int): Pixels per inch. Defaults to 100.

    Returns:
        np.ndarray: RGB `(H, W, 3)`, uint8.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

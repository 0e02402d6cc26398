"""All the figures of what was transferred, by name and as files."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nst_det.errors import UserError
from nst_det.visualization.channel_overlays import draw_overlays
from nst_det.visualization.gram_matrices import draw_grams
from nst_det.visualization.layer_view import LayerView
from nst_det.visualization.pattern_clouds import draw_clouds

FIGURES = {'clouds': draw_clouds, 'channels': draw_overlays, 'grams': draw_grams}
FORMATS = ('png', 'svg')


def write_figures(views: list[LayerView], folder: Path, dpi: int = 110) -> Iterator[Path]:
    """Write every figure of every view, as PNG and as SVG.

    Args:
        views (list[LayerView]): Images at layers.
        folder (Path): Where to; it is made.
        dpi (int): Pixels per inch of the PNG. Defaults to 110.

    Yields:
        Path: Each file, ``<image>_<layer>_<figure>.png`` or ``.svg``, when it is written.

    Raises:
        UserError: Where one of them is there already; then none is written.
    """
    for file in (_file(folder, *which) for which in product(views, FIGURES, FORMATS)):
        if file.exists():
            raise UserError(f'{file} exists already: choose another folder by -o, or remove it')
    folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        for name, draw in FIGURES.items():
            figure = draw(view)
            for suffix in FORMATS:
                file = _file(folder, view, name, suffix)
                # The same figure gives the same file.
                with matplotlib.rc_context({'svg.hashsalt': 'nst_det'}):
                    metadata = {'Date': None} if suffix == 'svg' else None
                    figure.savefig(file, dpi=dpi, metadata=metadata)
                yield file


def _file(folder: Path, view: LayerView, figure: str, suffix: str) -> Path:
    return folder / f'{view.name}_{view.label}_{figure}.{suffix}'


def pixels_of(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Render a figure.

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

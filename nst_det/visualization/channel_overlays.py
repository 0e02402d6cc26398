"""The most selective channels of teacher and student, side by side over the image."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from nst_det.visualization.channels import choose_channels, match_channels
from nst_det.visualization.layer_view import LayerView


def draw_overlays(view: LayerView, count: int = 6) -> Figure:
    """Draw the teacher's most selective channels over the image, each above its match.

    A column is a channel of the teacher's (:func:`choose_channels`). Below it stands the channel of
    each student that matches it (:func:`match_channels`).

    Args:
        view (LayerView): The image, the layer and the students.
        count (int): How many channels. Defaults to 6.

    Returns:
        Figure: The figure.
    """
    columns = choose_channels(view.teacher, count)
    rows = {'teacher': [(one, None) for one in columns]}
    for title, student in view.students.items():
        _, matches, cosines = match_channels(view.teacher[columns], student)
        rows[f'student,\n{title}'] = list(zip(matches.tolist(), cosines.tolist()))
    height, width = view.image.shape[:2]
    cell = 1.9
    figure = Figure(
        figsize=(
            cell * (len(columns) + 1) + 0.4,
            (cell * height / width + 0.32) * len(rows) + 0.75,
        ),
        layout='constrained',
    )
    axes = figure.subplots(len(rows), len(columns) + 1, squeeze=False)
    maps = [view.teacher, *view.students.values()]
    for line, (title, channels), feature_map in zip(axes, rows.items(), maps):
        line[0].imshow(view.image)
        line[0].set_ylabel(title, fontsize=12)
        for panel, (channel, cosine) in zip(line[1:], channels):
            _overlay(panel, view, feature_map[channel])
            match = '' if cosine is None else f', cos {cosine:.2f}'
            panel.set_title(f'channel {channel}{match}', fontsize=10)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    axes[0, 0].set_title('the image', fontsize=10)
    figure.suptitle(
        f"The teacher's most selective channels at {view.layer}, and the student's that match "
        'them\nBright: where the channel fires. cos: cosine similarity of its pattern to the '
        "teacher's in its column, 1 where they are the same.",
        fontsize=12,
    )
    return figure


def _overlay(panel: Axes, view: LayerView, activation: Tensor) -> None:
    grey = view.image.mean(2, keepdims=True).repeat(3, 2) / 255
    panel.imshow(0.75 * grey)
    values = activation.abs().numpy()
    values = values / max(values.max(), 1e-12)
    panel.imshow(
        values,
        cmap='inferno',
        extent=view.extent,
        interpolation='bilinear',
        alpha=np.clip(0.15 + 0.75 * values, 0, 1),
        vmin=0,
        vmax=1,
    )

"""The figure of the teacher's most selective channels over the image, and of their matches."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from nst_det.visualization.channels import choose_channels, match_channels
from nst_det.visualization.layer_view import LayerView


def draw_overlays(view: LayerView, count: int = 6) -> Figure:
    """Draw the teacher's most selective channels over the image, each above its match.

    Each column shows one channel of the teacher (:func:`choose_channels`), and below it the
    matching channel of each student (:func:`match_channels`).

    Args:
        view (LayerView): The image, the layer and the students.
        count (int): The number of channels. Defaults to 6.

    Returns:
        Figure: The figure.
    """
    columns = choose_channels(view.teacher, count)
    rows = {'teacher': [(channel, None) for channel in columns]}
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
    feature_maps = [view.teacher, *view.students.values()]
    for panels, (title, channels), feature_map in zip(axes, rows.items(), feature_maps):
        panels[0].imshow(view.image)
        panels[0].set_ylabel(title, fontsize=12)
        for panel, (channel, cosine) in zip(panels[1:], channels):
            _overlay(panel, view, feature_map[channel])
            match = '' if cosine is None else f', cos {cosine:.2f}'
            panel.set_title(f'channel {channel}{match}', fontsize=10)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    axes[0, 0].set_title('the image', fontsize=10)
    figure.suptitle(
        f'The most selective channels of the teacher at {view.layer}, and the channels of the '
        'student that match them\nBright: where the channel is active. cos: cosine similarity of '
        'its pattern to the pattern of the teacher in the same column; 1 if they are equal.',
        fontsize=12,
    )
    return figure


def _overlay(panel: Axes, view: LayerView, activation: Tensor) -> None:
    """Draw the activation of one channel over the image in grey."""
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

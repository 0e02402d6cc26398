"""The figure of the Gram matrices of teacher and student, from which MMD² is computed."""

from collections.abc import Sequence

import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from nst_det.visualization.channels import match_channels, patterns_of
from nst_det.visualization.layer_view import LayerView

MAX_CELLS = 300  # per side; the eye cannot distinguish more


def position_gram(feature_map: Tensor) -> Tensor:
    """Compute for every two positions how strongly the same channels are active: (1/C) F̂ᵀF̂.

    F̂ (C, HW) are the patterns. With the polynomial kernel (d = 2, c = 0) MMD² is the squared
    Frobenius norm of the difference of two such matrices, for any channel counts (NST,
    section 3.3).

    Args:
        feature_map (Tensor): `(C, H, W)`.

    Returns:
        Tensor: `(H·W, H·W)`.
    """
    patterns = patterns_of(feature_map)
    return patterns.T @ patterns / len(patterns)


def draw_grams(view: LayerView) -> Figure:
    """Draw the Gram matrices of the teacher and of each student.

    The first row shows the Gram matrices of the positions (:func:`position_gram`), and for each
    student the difference from the teacher. The second row shows the inner products of the patterns
    of matched channels. Matched channels have the same index there, so a good match is a bright
    diagonal. The channels are sorted by the position at which the channel of the teacher is most
    active.

    Args:
        view (LayerView): The image, the layer and the students.

    Returns:
        Figure: The figure.
    """
    columns = 1 + 2 * len(view.students)
    figure = Figure(figsize=(1.4 + 2.5 * columns, 6.8), layout='constrained')
    positions, channels = figure.subplots(2, columns, squeeze=False)
    grams, differences = _draw_positions(positions, view)
    cosines = _draw_channels(channels, view)
    bars = dict(shrink=0.75, aspect=30, pad=0.01)
    figure.colorbar(grams, ax=positions[0], location='left', label='active together', **bars)
    figure.colorbar(differences, ax=positions[-1], label='student − teacher', **bars)
    figure.colorbar(cosines, ax=channels[0], location='left', label='cosine similarity', **bars)
    figure.suptitle(
        f'Gram matrices at {view.layer}, image {view.name}\nFirst row: which positions of the '
        'image, counted row by row, are active together; the paler student − teacher, the more '
        'similar are the two.\nSecond row: which channels are similar. Matched channels have the '
        'same index, so a bright diagonal in teacher by student is a good match.',
        fontsize=12,
    )
    return figure


def _draw_positions(panels: Sequence[Axes], view: LayerView) -> tuple[AxesImage, AxesImage]:
    """Draw the Gram matrices of the positions, and the differences from the teacher."""
    teacher = position_gram(view.teacher)
    # Without this limit, the few largest values, on the diagonal, would make the others look black.
    rank = max(1, int(0.995 * teacher.numel()))
    limit = max(teacher.flatten().kthvalue(rank).values.item(), 1e-12)
    grams = _show(panels[0], teacher, 'positions,\nteacher', 'magma', 0, limit)
    for i, (title, feature_map) in enumerate(view.students.items()):
        student = position_gram(feature_map)
        _show(panels[1 + 2 * i], student, f'positions,\nstudent {title}', 'magma', 0, limit)
        difference = student - teacher
        squared_norm = difference.square().sum().item()
        differences = _show(
            panels[2 + 2 * i],
            difference,
            f'student − teacher\n‖·‖² = {squared_norm:.3g}',
            'RdBu_r',
            -limit,
            limit,
        )
    return grams, differences


def _draw_channels(panels: Sequence[Axes], view: LayerView) -> AxesImage:
    """Draw the inner products of the patterns of matched channels."""
    for i, (title, feature_map) in enumerate(view.students.items()):
        channels, matches, _ = match_channels(view.teacher, feature_map)
        order = view.teacher[channels].flatten(1).abs().argmax(1).argsort(stable=True)
        teacher = patterns_of(view.teacher)[channels[order]]
        student = patterns_of(feature_map)[matches[order]]
        _show(panels[1 + 2 * i], student @ student.T, f'channels,\nstudent {title}')
        _show(panels[2 + 2 * i], teacher @ student.T, f'channels, teacher by\nstudent {title}')
        cosines = _show(panels[0], teacher @ teacher.T, 'channels,\nteacher')
    return cosines


def _show(
    panel: Axes, matrix: Tensor, title: str, cmap: str = 'viridis', low: float = 0, high: float = 1
) -> AxesImage:
    """Draw a matrix, reduced to a size that the eye can distinguish."""
    size = [min(MAX_CELLS, side) for side in matrix.shape]
    pooled = F.adaptive_avg_pool2d(matrix[None, None], size)[0, 0]
    panel.set_title(title, fontsize=11)
    panel.set(xticks=[], yticks=[])
    return panel.imshow(
        pooled.numpy(), cmap=cmap, vmin=low, vmax=high, aspect='auto', interpolation='nearest'
    )

"""The Gram matrices of teacher and student, which all that NST compares is made of."""

import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from nst_det.visualization.channels import match_channels, patterns_of
from nst_det.visualization.layer_view import LayerView

MOST_CELLS = 300  # a side; more cannot be told apart


def position_gram(feature_map: Tensor) -> Tensor:
    """How strongly every two positions fire in the same channels: (1/C) F̂ᵀF̂.

    F̂ (C, HW) are the patterns. With the polynomial kernel (d = 2, c = 0) MMD² is the squared
    Frobenius distance of two such matrices, whatever the channel counts (NST, section 3.3).

    Args:
        feature_map (Tensor): `(C, H, W)`.

    Returns:
        Tensor: `(H·W, H·W)`.
    """
    patterns = patterns_of(feature_map)
    return patterns.T @ patterns / len(patterns)


def draw_grams(view: LayerView) -> Figure:
    """Draw the Gram matrices of the teacher, and beside them those of each student.

    Above, those of the positions (:func:`position_gram`) and how a student's differs from the
    teacher's. Below, the inner products of the matched channels' patterns. Two that match have the
    same place, so that a good match is a bright diagonal; they are ordered by the position at which
    the teacher's fires most.

    Args:
        view (LayerView): The image, the layer and the students.

    Returns:
        Figure: The figure.
    """
    columns = 1 + 2 * len(view.students)
    figure = Figure(figsize=(1.4 + 2.5 * columns, 6.8), layout='constrained')
    above, below = figure.subplots(2, columns, squeeze=False)
    teacher = position_gram(view.teacher)
    # A few positions' products with themselves would leave all the others black.
    top = max(teacher.flatten().kthvalue(max(1, int(0.995 * teacher.numel()))).values.item(), 1e-12)
    together = _show(above[0], teacher, 'positions,\nteacher', 'magma', 0, top)
    for i, (title, feature_map) in enumerate(view.students.items()):
        student = position_gram(feature_map)
        own, other = above[1 + 2 * i], above[2 + 2 * i]
        _show(own, student, f'positions,\nstudent {title}', 'magma', 0, top)
        gap = student - teacher
        apart = _show(other, gap, f'student − teacher\n‖·‖² = {_square(gap)}', 'RdBu_r', -top, top)
        rows, matches, _ = match_channels(view.teacher, feature_map)
        order = view.teacher[rows].flatten(1).abs().argmax(1).argsort(stable=True)
        first = patterns_of(view.teacher)[rows[order]]
        second = patterns_of(feature_map)[matches[order]]
        own, other = below[1 + 2 * i], below[2 + 2 * i]
        _show(own, second @ second.T, f'channels,\nstudent {title}')
        _show(other, first @ second.T, f'channels, teacher by\nstudent {title}')
        cosines = _show(below[0], first @ first.T, 'channels,\nteacher')
    bars = dict(shrink=0.75, aspect=30, pad=0.01)
    figure.colorbar(together, ax=above[0], location='left', label='firing together', **bars)
    figure.colorbar(apart, ax=above[-1], label='student − teacher', **bars)
    figure.colorbar(cosines, ax=below[0], location='left', label='cosine similarity', **bars)
    figure.suptitle(
        f'Gram matrices at {view.layer}, image {view.name}\nAbove: which positions of the image, '
        'counted row by row, fire together; the paler student − teacher, the more alike they are.\n'
        'Below: which channels are alike. Two that match stand at the same place, so teacher by '
        'student has a bright diagonal where they match well.',
        fontsize=12,
    )
    return figure


def _square(matrix: Tensor) -> str:
    return f'{matrix.square().sum().item():.3g}'


def _show(
    panel: Axes, matrix: Tensor, title: str, cmap: str = 'viridis', low: float = 0, high: float = 1
) -> AxesImage:
    size = [min(MOST_CELLS, side) for side in matrix.shape]
    pooled = F.adaptive_avg_pool2d(matrix[None, None], size)[0, 0]
    panel.set_title(title, fontsize=11)
    panel.set(xticks=[], yticks=[])
    return panel.imshow(
        pooled.numpy(), cmap=cmap, vmin=low, vmax=high, aspect='auto', interpolation='nearest'
    )

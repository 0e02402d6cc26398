"""The Gram matrices of teacher and student, which all that NST compares is made of."""

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
    teacher's. Below, the inner products of the channels' patterns: the three terms of MMD². Matched
    channels have the same place, so that a good match is a bright diagonal; they are ordered by the
    position at which the teacher's fires most.

    Args:
        view (LayerView): The image, the layer and the students.

    Returns:
        Figure: The figure.
    """
    columns = 1 + 2 * len(view.students)
    figure = Figure(figsize=(1.4 + 2.5 * columns, 6.5), layout='constrained')
    above, below = figure.subplots(2, columns, squeeze=False)
    teacher = position_gram(view.teacher)
    # A few positions' products with themselves would leave all the others black.
    top = max(teacher.flatten().kthvalue(max(1, int(0.995 * teacher.numel()))).values.item(), 1e-12)
    together = _show(above[0], teacher, 'positions, teacher', 'magma', 0, top)
    for i, (title, feature_map) in enumerate(view.students.items()):
        student = position_gram(feature_map)
        own, other = above[1 + 2 * i], above[2 + 2 * i]
        _show(own, student, f'positions, student\n{title}', 'magma', 0, top)
        gap = student - teacher
        apart = _show(other, gap, f'its difference\n‖·‖² = {_square(gap)}', 'RdBu_r', -top, top)
        rows, matches, _ = match_channels(view.teacher, feature_map)
        order = view.teacher[rows].flatten(1).abs().argmax(1).argsort(stable=True)
        rows, matches = rows[order], matches[order]
        first = patterns_of(view.teacher)[_matched_first(rows, len(view.teacher))]
        second = patterns_of(feature_map)[_matched_first(matches, len(feature_map))]
        own, other = below[1 + 2 * i], below[2 + 2 * i]
        _show(own, second @ second.T, f'channels, student\n{title}', 'viridis', 0, 1)
        _show(other, first @ second.T, f'channels, teacher (rows)\nwith student {title}')
        cosines = _show(below[0], first @ first.T, 'channels, teacher')
    bars = dict(shrink=0.75, aspect=30, pad=0.01)
    figure.colorbar(together, ax=above[0], location='left', label='fire together', **bars)
    figure.colorbar(apart, ax=above[-1], label='student − teacher', **bars)
    figure.colorbar(cosines, ax=below[0], location='left', label='cosine similarity', **bars)
    figure.suptitle(
        f'Gram matrices at {view.layer}, image {view.name}\nAbove: which positions of the image, '
        'counted row by row, fire together. Below: which channels are alike; those of teacher and\n'
        'student that match stand at the same place, so a good match is a bright diagonal.',
        fontsize=10,
    )
    return figure


def _square(matrix: Tensor) -> str:
    return f'{matrix.square().sum().item():.3g}'


def _matched_first(matched: Tensor, count: int) -> Tensor:
    alone = torch.ones(count, dtype=torch.bool)
    alone[matched] = False
    return torch.cat([matched, alone.nonzero()[:, 0]])


def _show(
    panel: Axes, matrix: Tensor, title: str, cmap: str = 'viridis', low: float = 0, high: float = 1
):
    size = [min(MOST_CELLS, side) for side in matrix.shape]
    pooled = F.adaptive_avg_pool2d(matrix[None, None], size)[0, 0]
    panel.set_title(f'{title}\n' if '\n' not in title else title, fontsize=9)
    panel.set(xticks=[], yticks=[])
    return panel.imshow(
        pooled.numpy(), cmap=cmap, vmin=low, vmax=high, aspect='auto', interpolation='nearest'
    )

"""The figure of the patterns of teacher and student as t-SNE clouds (NST, figure 5)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

from nst_det.errors import UserError
from nst_det.visualization.channels import (
    choose_channels,
    match_channels,
    patterns_of,
    strongest_channels,
)
from nst_det.visualization.layer_view import LayerView

TEACHER_COLOUR, STUDENT_COLOUR = '#1f6fb4', '#d9541e'
MAX_POINTS = 400  # per network: the time of t-SNE grows with the square of the points
THUMBNAIL = 46  # points
CHOSEN = 6  # channels shown beside the clouds


def draw_clouds(view: LayerView) -> Figure:
    """Draw the selectivity patterns of teacher and student as t-SNE clouds, a panel per student.

    All patterns are embedded together, so the points of the teacher are at the same places in all
    panels, and the panels can be compared. Beside the cloud are the activation maps of the numbered
    points: a channel of the teacher, and the channel of the student that matches it.

    Args:
        view (LayerView): The image, the layer and the students.

    Returns:
        Figure: The figure.

    Raises:
        UserError: If scikit-learn is not installed.
    """
    teacher, *students = (
        feature_map[strongest_channels(feature_map, MAX_POINTS)]
        for feature_map in (view.teacher, *view.students.values())
    )
    clouds = _embed([teacher, *students])
    chosen = choose_channels(teacher, CHOSEN)
    figure = Figure(figsize=(1.5 + 6.2 * len(students), 6.6), layout='constrained')
    panels = figure.subplots(1, len(students), squeeze=False)[0]
    points = np.concatenate(clouds)
    dots = dict(alpha=0.55, lw=0)
    for panel, title, student, cloud in zip(panels, view.students, students, clouds[1:]):
        panel.scatter(*cloud.T, s=26, c=STUDENT_COLOUR, marker='^', **dots, label='student')
        panel.scatter(*clouds[0].T, s=24, c=TEACHER_COLOUR, marker='o', **dots, label='teacher')
        _, matches, cosines = match_channels(view.teacher, view.students[title])
        panel.set_title(
            f'{title}: MMD² {view.mmd2(title):.3g}, '
            f'mean cosine of matched channels {cosines.mean():.2f}',
            fontsize=13,
        )
        _set_limits(panel, points)
        _, matches, cosines = match_channels(teacher[chosen], student)
        pairs = list(zip(chosen, matches.tolist(), cosines.tolist()))
        _inset_maps(panel, (teacher, student), (clouds[0], cloud), pairs)
    figure.suptitle(
        f'What the channels at {view.layer} respond to in image {view.name} (t-SNE)', fontsize=15
    )
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=2,
        frameon=False,
        markerscale=2,
        fontsize=12,
        title='Each mark is the selectivity pattern of one channel. Marks close together: channels '
        'that respond to\nsimilar things. The marks of the teacher are at the same places in all '
        'panels. The lower MMD²,\nthe more similar are the two clouds as a whole. At the sides: '
        'where in the image the numbered\nchannels are active, a channel of the teacher above the '
        'matching channel of the student.',
        title_fontsize=11.5,
    )
    return figure


def _embed(feature_maps: list[Tensor]) -> list[np.ndarray]:
    """Embed the patterns of feature maps in the plane; one array `(C, 2)` for each."""
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:  # training does not need it
        raise UserError('the t-SNE clouds need scikit-learn: pip install scikit-learn') from error
    patterns = [patterns_of(feature_map).numpy() for feature_map in feature_maps]
    points = np.concatenate(patterns)
    if len(points) < 4:  # too few for t-SNE
        embedded = np.zeros((len(points), 2))
        embedded[:, 0] = np.arange(len(points))
    else:
        perplexity = min(30, (len(points) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init='random', random_state=0)
        embedded = tsne.fit_transform(points)
    counts = [len(cloud) for cloud in patterns]
    return np.split(embedded, np.cumsum(counts)[:-1])


def _set_limits(panel: Axes, points: np.ndarray) -> None:
    """Set the limits of the axes, with room for the activation maps on both sides."""
    if len(points):
        low, high = points.min(0), points.max(0)
    else:
        low, high = np.zeros(2), np.ones(2)
    size = np.maximum(high - low, 1e-6)
    panel.set_xlim(low[0] - 0.34 * size[0], high[0] + 0.34 * size[0])
    panel.set_ylim(low[1] - 0.05 * size[1], high[1] + 0.05 * size[1])
    panel.set_xticks([])
    panel.set_yticks([])


def _inset_maps(
    panel: Axes,
    feature_maps: tuple[Tensor, Tensor],
    clouds: tuple[np.ndarray, np.ndarray],
    pairs: list[tuple[int, int, float]],
) -> None:
    """Put pairs of activation maps beside the cloud, each connected with its mark.

    Args:
        panel (Axes): The panel.
        feature_maps (tuple[Tensor, Tensor]): Of teacher and student, `(C, H, W)`.
        clouds (tuple[np.ndarray, np.ndarray]): The points of both, `(C, 2)`.
        pairs (list[tuple[int, int, float]]): For each pair the channel of the teacher, the channel
            of the student and the cosine similarity of their patterns.
    """
    points = clouds[0]
    numbered = list(enumerate(pairs, 1))
    left_to_right = sorted(numbered, key=lambda item: points[item[1][0], 0])
    half = (len(pairs) + 1) // 2
    for side, group in ((0.085, left_to_right[:half]), (0.915, left_to_right[half:])):
        downwards = sorted(group, key=lambda item: -points[item[1][0], 1])
        for place, (number, (channel, match, cosine)) in enumerate(downwards):
            middle = 1 - (place + 0.5) / half
            marks = dict(weight='bold', fontsize=11, zorder=7)
            panel.annotate(
                str(number), points[channel], (6, 5), textcoords='offset points', **marks
            )
            panel.text(
                side,
                middle,
                f'{number}: cosine {cosine:.2f}',
                transform=panel.transAxes,
                ha='center',
                va='center',
                fontsize=10,
                zorder=6,
                bbox=dict(boxstyle='square,pad=0.05', fc='white', ec='none'),
            )
            for index, feature_map, cloud, colour, shift in (
                (channel, feature_maps[0], clouds[0], TEACHER_COLOUR, 0.082),
                (match, feature_maps[1], clouds[1], STUDENT_COLOUR, -0.082),
            ):
                point = cloud[index]
                _inset(panel, feature_map[index], point, (side, middle + shift), colour)
                panel.plot(*point, 'o', ms=9, mfc='none', mec=colour, mew=1.6, zorder=4)


def _inset(panel: Axes, activation: Tensor, point: np.ndarray, at: tuple, colour: str) -> None:
    """Draw one activation map in a panel, and a line to its point."""
    picture = activation.abs().numpy()
    box = OffsetImage(
        picture, zoom=THUMBNAIL / max(picture.shape), cmap='magma', interpolation='nearest'
    )
    panel.add_artist(
        AnnotationBbox(
            box,
            point,
            xybox=at,
            boxcoords='axes fraction',
            pad=0.08,
            bboxprops=dict(edgecolor=colour, lw=1.5),
            arrowprops=dict(arrowstyle='-', color=colour, lw=0.8, alpha=0.6),
            zorder=5,
        )
    )

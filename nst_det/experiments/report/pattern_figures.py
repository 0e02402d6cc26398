"""The figures of the patterns that a student has learned from its teacher."""

import base64
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_det.apis.compare_students import compare_students
from nst_det.errors import one_line
from nst_det.experiments.run_folder import DISTILLED, Run, baseline_of
from nst_det.visualization import LayerView, write_figures

CAPTIONS = {
    'clouds': 'The channels of {layer} by what they respond to. Each mark is one channel: blue '
    'dots of the teacher, orange triangles of the student. Channels with similar responses lie '
    'close together. The more the two clouds overlap, the more similar are the two networks: MMD² '
    'is {before:.3g} before and {after:.3g} after, and 0 for equal networks.',
    'channels': 'Top row: the positions at which the most selective channels of {layer} of the '
    'teacher are active. Below each of them: the channel of the student that matches it best. '
    'Bright at the same positions: the student responds to what its teacher responds to.',
    'grams': 'Gram matrices at {layer}. Above: which positions of the image are active together. '
    'The paler the differences, the closer is the student to its teacher. Below: which channels '
    'are similar.',
}


def pattern_figures(
    runs: Sequence[Run],
    image_id: Any,
    truth: Mapping[str, dict],
    notes: list[str],
    progress: Callable[[str], None],
) -> list[dict]:
    """Draw what teacher and student respond to in an image.

    Args:
        runs (Sequence[Run]): The runs, of which the first distilled run is drawn.
        image_id (Any): The id of the test image; None if none could be read.
        truth (Mapping[str, dict]): The annotations by image id, see :func:`ground_truth`.
        notes (list[str]): The notes, to which is added why there are no figures.
        progress (Callable): Called with a line of text before the figures are drawn.

    Returns:
        list[dict]: ``kind``, ``caption``, ``image`` and ``png`` (base64) of each figure.
    """
    run = next((run for run in runs if run.role == DISTILLED and run.checkpoint), None)
    if run is None:
        return []
    if image_id is None:
        notes.append(
            'There is no figure of the patterns, because no test image could be read: draw it with '
            'tools/visualize_nst.py.'
        )
        return []
    # t-SNE takes seconds, and longer with hundreds of channels.
    progress('drawing the patterns of teacher and student')
    name, image = str(image_id), truth[image_id]['path']
    baseline = baseline_of(run, runs)
    before = str(baseline.checkpoint) if baseline is not None and baseline.checkpoint else None
    first = 'the student at the beginning of its training'
    if before is not None:
        first = f'{baseline.name}, trained without a teacher'
    compared = f' “Before” is {first}; “after” is {run.name}. Test image {name}.'
    try:
        (views,) = compare_students(run.cfg, str(run.checkpoint), before, [image])
        return [
            dict(figure, caption=figure['caption'] + compared, image=name)
            for view in views
            for figure in _figures_of(view)
        ]
    except Exception as error:  # such as a teacher that was moved; the rest of the report remains
        reason = one_line(error, with_type=False)
        notes.append(f'There is no figure of the patterns: {reason}')
        return []


def _figures_of(view: LayerView) -> list[dict]:
    """The figures of a layer: ``kind``, ``caption`` and ``png`` (base64) of each."""
    distances = {title: view.mmd2(title) for title in view.students}
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for file in write_figures([view], Path(folder)):
            if file.suffix == '.png':
                kind = file.stem.rsplit('_', 1)[-1]
                caption = CAPTIONS[kind].format(layer=view.layer, **distances)
                png = base64.b64encode(file.read_bytes()).decode()
                figures.append(dict(kind=kind, caption=caption, png=png))
    return figures

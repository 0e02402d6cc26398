"""Test images with what each detector found on them, the largest gains and losses first."""

import base64
import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageOps

from nst_det.evaluation.functional.detection_quality import image_score, judge
from nst_det.experiments.run_folder import BASELINE, DISTILLED, TEACHER, Run, baseline_of

THRESHOLD = 0.3
MOST_PIXELS = 480  # a side


def choose_runs(runs: Sequence[Run]) -> list[Run]:
    """The runs to be put side by side: baseline, distilled and teacher, where they are there.

    Args:
        runs (Sequence[Run]): All runs.

    Returns:
        list[Run]: One of each role, those that have predictions.
    """
    able = [run for run in runs if run.predictions]
    distilled = next((run for run in able if run.role == DISTILLED), None)
    baseline = baseline_of(distilled, able) if distilled else None
    baseline = baseline or next((run for run in able if run.role == BASELINE), None)
    teacher = next((run for run in able if run.role == TEACHER), None)
    return [run for run in (baseline, distilled, teacher) if run]


def build_gallery(
    truth: Mapping[str, dict], runs: Sequence[Run], classes: Sequence[str], count: int = 6
) -> list[dict]:
    """Choose test images and what is drawn over them.

    With a baseline and a distilled run these are the images of the largest gains, then those of the
    largest losses (:func:`image_score`); else, or where none differs, the first ones.

    Args:
        truth (Mapping[str, dict]): The annotations by image id: see :func:`ground_truth`.
        runs (Sequence[Run]): What :func:`choose_runs` gave.
        classes (Sequence[str]): The classes.
        count (int): How many gains, and how many losses. Defaults to 6.

    Returns:
        list[dict]: Per image ``name``, ``gain`` (or None), ``width``, ``height``, ``picture`` (a
        data URI) and ``panels``: ``title``, ``score`` (or None) and ``boxes``, of which ``right``
        is whether the detection is.
    """
    scores = {
        run.name: {
            image: image_score(objects, run.predictions[image], THRESHOLD)
            for image, objects in truth.items()
        }
        for run in runs
    }
    roles = {run.role: run.name for run in runs}
    images = [(image, None) for image in list(truth)[:count]]
    if {BASELINE, DISTILLED} <= set(roles):
        new, old = scores[roles[DISTILLED]], scores[roles[BASELINE]]
        gains = sorted(((new[one] - old[one], one) for one in truth), reverse=True)
        best = [(one, gain) for gain, one in gains[:count] if gain > 0]
        worst = [(one, gain) for gain, one in gains[::-1][:count] if gain < 0]
        images = best + worst or images
    gallery = []
    for image, gain in images:
        objects = truth[image]
        picture, (width, height) = _encode(objects['path'])
        panels = [dict(title='ground truth', score=None, boxes=_truth_boxes(objects, classes))]
        panels += [
            dict(
                title=run.name,
                score=scores[run.name][image],
                boxes=_found_boxes(objects, run.predictions[image], classes),
            )
            for run in runs
        ]
        gallery.append(
            dict(
                name=str(image),
                gain=gain,
                width=width,
                height=height,
                picture=picture,
                panels=panels,
            )
        )
    return gallery


def _encode(path: str) -> tuple[str, tuple[int, int]]:
    """A small JPEG as a data URI, and the size of the image itself, in which boxes are given."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert('RGB')
    size = picture.size
    picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
    buffer = io.BytesIO()
    picture.save(buffer, 'JPEG', quality=80)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}', size


def _truth_boxes(objects: Mapping, classes: Sequence[str]) -> list[dict]:
    return _place_labels(
        [
            _box(box, label, classes)
            for box, label, ignored in zip(objects['bboxes'], objects['labels'], objects['ignored'])
            if not ignored
        ]
    )


def _found_boxes(objects: Mapping, found: Mapping, classes: Sequence[str]) -> list[dict]:
    boxes, labels, scores = (found[key].tolist() for key in ('bboxes', 'labels', 'scores'))
    return _place_labels(
        [
            _box(boxes[i], labels[i], classes, scores[i], right)
            for i, right in judge(objects, found, THRESHOLD).items()
        ]
    )


def _place_labels(boxes: list[dict]) -> list[dict]:
    """Put a label below its box where it would hide that of another one."""
    for i, box in enumerate(boxes):
        box['below'] = any(
            abs(box['x'] - other['x']) < box['width']
            and abs(box['y'] - other['y']) < 0.2 * box['height']
            for other in boxes[:i]
            if not other['below']
        )
    return boxes


def _box(
    box: Sequence[float],
    label: int,
    classes: Sequence[str],
    score: float | None = None,
    right: bool | None = None,
) -> dict:
    x1, y1, x2, y2 = (float(one) for one in box)
    return dict(
        x=x1,
        y=y1,
        width=max(x2 - x1, 0),
        height=max(y2 - y1, 0),
        label=classes[label],
        hue=round(360 * label / max(len(classes), 1)),
        score=score,
        right=right,
    )

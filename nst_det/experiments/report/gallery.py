"""Test images with the detections of each detector, the largest gains and losses first."""

import base64
import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageOps

from nst_det.evaluation.functional.detection_quality import image_score, judge
from nst_det.experiments.run_folder import BASELINE, DISTILLED, TEACHER, Run, baseline_of

THRESHOLD = 0.3
MAX_SIDE = 480  # pixels


def choose_runs(runs: Sequence[Run]) -> list[Run]:
    """Choose the runs that are shown side by side: a baseline, a distilled run and the teacher.

    Args:
        runs (Sequence[Run]): All runs.

    Returns:
        list[Run]: At most one run of each role, with predictions.
    """
    usable = [run for run in runs if run.predictions]
    distilled = next((run for run in usable if run.role == DISTILLED), None)
    baseline = baseline_of(distilled, usable) if distilled else None
    baseline = baseline or next((run for run in usable if run.role == BASELINE), None)
    teacher = next((run for run in usable if run.role == TEACHER), None)
    return [run for run in (baseline, distilled, teacher) if run]


def build_gallery(
    truth: Mapping[str, dict], runs: Sequence[Run], classes: Sequence[str], count: int = 6
) -> list[dict]:
    """Choose test images and the boxes to draw on them.

    With a baseline and a distilled run these are the images with the largest gains of F1, see
    :func:`image_score`, then those with the largest losses. Without them, or if no image differs,
    these are the first images.

    Args:
        truth (Mapping[str, dict]): The annotations by image id, see :func:`ground_truth`.
        runs (Sequence[Run]): The runs, see :func:`choose_runs`.
        classes (Sequence[str]): The classes.
        count (int): The largest number of gains, and of losses. Defaults to 6.

    Returns:
        list[dict]: Per image ``name``, ``gain`` (or None), ``width``, ``height``, ``picture`` (a
        data URI) and ``panels``: ``title``, ``score`` (or None) and ``boxes``. ``right`` of a box
        is whether the detection is right, None if it does not count.
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
        gains = sorted(((new[image] - old[image], image) for image in truth), reverse=True)
        best = [(image, gain) for gain, image in gains[:count] if gain > 0]
        worst = [(image, gain) for gain, image in gains[::-1][:count] if gain < 0]
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
                boxes=_predicted_boxes(objects, run.predictions[image], classes),
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
    """A small JPEG as a data URI, and the size of the original image, which boxes refer to."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert('RGB')
    size = picture.size
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
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


def _predicted_boxes(objects: Mapping, predicted: Mapping, classes: Sequence[str]) -> list[dict]:
    boxes, labels, scores = (predicted[key].tolist() for key in ('bboxes', 'labels', 'scores'))
    return _place_labels(
        [
            _box(boxes[i], labels[i], classes, scores[i], right)
            for i, right in judge(objects, predicted, THRESHOLD).items()
        ]
    )


def _place_labels(boxes: list[dict]) -> list[dict]:
    """Move a label below its box if it would cover the label of another box."""
    for i, box in enumerate(boxes):
        box['below'] = any(
            abs(box['x'] - earlier['x']) < box['width']
            and abs(box['y'] - earlier['y']) < 0.2 * box['height']
            for earlier in boxes[:i]
            if not earlier['below']
        )
    return boxes


def _box(
    box: Sequence[float],
    label: int,
    classes: Sequence[str],
    score: float | None = None,
    right: bool | None = None,
) -> dict:
    x1, y1, x2, y2 = map(float, box)
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

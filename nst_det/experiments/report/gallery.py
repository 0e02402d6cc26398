"""The test images with the detections of each detector, as the page filters and draws them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from nst_det.evaluation.functional.detection_quality import image_score, judge
from nst_det.experiments.report.thumbnails import MAX_SIDE, Thumbnails
from nst_det.experiments.run_folder import BASELINE, DISTILLED, TEACHER, Run, baseline_of

THRESHOLD = 0.3  # where the slider of the page stands at first
LOWEST_SCORE = 0.05
MAX_DETECTIONS = 300_000  # in the page, of all images; those with the highest scores
MAX_MASKS = 20_000
VERDICTS = {True: 1, False: 0, None: -1}


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
    truth: Mapping[str, dict],
    runs: Sequence[Run],
    classes: Sequence[str],
    thumbnails: Thumbnails,
) -> dict[str, Any]:
    """Collect all test images with the boxes and masks to draw on them.

    With a baseline and a distilled run the images with the largest gains of F1 come first, see
    :func:`image_score`; else they have the order of the test set.

    Args:
        truth (Mapping[str, dict]): The annotations by image id, see :func:`ground_truth`.
        runs (Sequence[Run]): The runs, see :func:`choose_runs`.
        classes (Sequence[str]): The classes.
        thumbnails (Thumbnails): Makes the pictures.

    Returns:
        dict[str, Any]: ``classes``; ``runs``, the names, and which of them are ``baseline`` and
        ``distilled`` (or None); ``lowest``, the lowest score of the detections; and ``images``. Of
        each image ``id``, ``name``, ``gain`` (or None), ``width``, ``height``, ``picture``,
        ``truth`` and ``found`` (by run), each with ``labels``, ``boxes`` (x, y, width and height of
        one after the other) and perhaps ``masks`` (SVG paths); ``found`` also has ``scores``,
        falling, and ``right``: 1, 0, or -1 for a detection that does not count.

    Raises:
        UserError: If the folder of the pictures holds other files.
        OSError: If an image cannot be read.
    """
    roles = {run.role: run.name for run in runs}
    baseline, distilled = roles.get(BASELINE), roles.get(DISTILLED)
    gains = _gains(truth, runs) if baseline and distilled else {}
    order = sorted(truth, key=lambda image: -gains.get(image, 0))
    pictures = thumbnails.make(truth[image]['path'] for image in order)
    lowest = _score_of(runs, truth, MAX_DETECTIONS, LOWEST_SCORE)
    lowest_mask = _score_of(runs, truth, MAX_MASKS, lowest)
    names = _short_names([truth[image]['path'] for image in order])
    images = []
    for image, name, picture, (width, height) in tqdm(
        list(zip(order, names, pictures, thumbnails.sizes)),
        'images',
        delay=2,
        mininterval=1,
        leave=False,
    ):
        objects = truth[image]
        scale = MAX_SIDE / max(width, height, MAX_SIDE)
        images.append(
            dict(
                id=image,
                name=name,
                gain=gains.get(image),
                width=width,
                height=height,
                picture=picture,
                truth=_truth(objects, scale),
                found={
                    run.name: _found(objects, run.predictions[image], lowest, lowest_mask, scale)
                    for run in runs
                },
            )
        )
    return dict(
        classes=list(classes),
        runs=[run.name for run in runs],
        baseline=baseline,
        distilled=distilled,
        lowest=lowest,
        images=images,
    )


def _gains(truth: Mapping[str, dict], runs: Sequence[Run]) -> dict[str, float]:
    """The gain of F1 of each image by distillation."""
    of_role = {run.role: run.predictions for run in runs}
    new, old = of_role[DISTILLED], of_role[BASELINE]
    return {
        image: image_score(objects, new[image], THRESHOLD)
        - image_score(objects, old[image], THRESHOLD)
        for image, objects in truth.items()
    }


def _score_of(runs: Sequence[Run], truth: Mapping[str, dict], place: int, at_least: float) -> float:
    """The score above which there are no more detections than may be shown."""
    scores = [run.predictions[image]['scores'].numpy() for run in runs for image in truth]
    ranked = np.sort(np.concatenate(scores or [np.empty(0)]))[::-1]
    return max(at_least, float(ranked[place])) if len(ranked) > place else at_least


def _short_names(paths: Sequence[str]) -> list[str]:
    """The paths without the folder that all of them are in."""
    full = [os.path.abspath(path) for path in paths]
    parent = os.path.commonpath([os.path.dirname(path) for path in full]) if full else ''
    return [os.path.relpath(path, parent) for path in full]


def _truth(objects: Mapping, scale: float) -> dict:
    kept = [i for i, ignored in enumerate(objects['ignored']) if not ignored]
    masks = [objects.get('masks', [None] * len(objects['labels']))[i] for i in kept]
    shown = dict(
        labels=objects['labels'][kept].tolist(), boxes=_boxes(objects['bboxes'][kept], scale)
    )
    if any(mask is not None for mask in masks):
        shown['masks'] = [_path_of(mask, scale) for mask in masks]
    return shown


def _found(
    objects: Mapping, predicted: Mapping, lowest: float, lowest_mask: float, scale: float
) -> dict:
    verdicts = judge(objects, predicted, lowest)
    kept = list(verdicts)
    scores = predicted['scores'].numpy()[kept]
    shown = dict(
        labels=predicted['labels'].numpy()[kept].tolist(),
        boxes=_boxes(predicted['bboxes'].numpy()[kept], scale),
        scores=scores.astype(float).round(4).tolist(),
        right=[VERDICTS[verdict] for verdict in verdicts.values()],
    )
    if 'masks' in predicted:
        shown['masks'] = [
            _path_of(predicted['masks'][i], scale) if score >= lowest_mask else ''
            for i, score in zip(kept, scores)
        ]
    return shown


def _boxes(corners: np.ndarray, scale: float) -> list[float]:
    """x, y, width and height of all boxes, as precise as the small picture can show."""
    digits = 1 if scale == 1 else 0
    sides = corners.astype(float).reshape(-1, 4).copy()
    sides[:, 2:] = np.maximum(sides[:, 2:] - sides[:, :2], 0)
    return [_plain(side) for side in sides.round(digits).ravel().tolist()]


def _plain(number: float) -> float:
    """A whole number without decimals, which makes the page smaller."""
    return int(number) if number == int(number) else number


def _path_of(mask: Any, scale: float) -> str:
    """The outline of a mask, a list of polygons or an RLE, as an SVG path."""
    if mask is None:
        return ''
    if isinstance(mask, Mapping):
        rle = mask
        if isinstance(mask['counts'], list):
            rle = coco_mask.frPyObjects(dict(mask), *mask['size'])
        outlines, _ = cv2.findContours(
            coco_mask.decode(dict(rle)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        rings = [cv2.approxPolyDP(outline, 0.7 / scale, True)[:, 0] for outline in outlines]
    else:
        rings = [np.reshape(polygon, (-1, 2)) for polygon in mask]
    return ''.join(
        'M'
        + ' '.join(f'{_plain(round(float(x), 1))},{_plain(round(float(y), 1))}' for x, y in ring)
        + 'Z'
        for ring in rings
        if len(ring) > 2
    )

"""Which classes a detector confuses, and how far its scores can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mmdet.evaluation import bbox_overlaps

from nst_det.evaluation.functional.detection_quality import judge

BINS = 10


def confusion_matrix(
    truth: Mapping[str, dict], predictions: Mapping[str, dict], classes: int, threshold: float
) -> np.ndarray:
    """Count which class was detected where an object of each class is.

    The detections of an image, by falling score and whatever their class, each take the free object
    that they overlap most, if the IoU is at least 0.50. Ignored objects and their detections do not
    count.

    Args:
        truth (Mapping[str, dict]): The annotations by image id, see :func:`ground_truth`.
        predictions (Mapping[str, dict]): The predictions by image id.
        classes (int): The number of classes.
        threshold (float): Detections with a lower score are left out.

    Returns:
        np.ndarray: `(classes + 1, classes + 1)`: the row is the class of the object, the column
        that of the detection. The last row are detections without an object, the last column
        objects without a detection.
    """
    matrix = np.zeros((classes + 1, classes + 1), int)
    for image, objects in truth.items():
        predicted = predictions[image]
        boxes, labels, scores = (predicted[key].numpy() for key in ('bboxes', 'labels', 'scores'))
        order = np.argsort(-scores, kind='stable')
        order = order[scores[order] >= threshold]
        ignored, own = objects['ignored'], objects['labels']
        free = np.ones(len(own), bool)
        overlaps = bbox_overlaps(boxes, objects['bboxes']) if len(own) and len(boxes) else None
        for i in order.tolist():
            best = -1 if overlaps is None else np.where(free, overlaps[i], -1).argmax()
            if overlaps is None or not free[best] or overlaps[i, best] < 0.5:
                matrix[classes, labels[i]] += 1
            elif not ignored[best]:
                free[best] = False
                matrix[own[best], labels[i]] += 1
        np.add.at(matrix[:, classes], own[free & ~ignored], 1)
    return matrix


@dataclass(frozen=True)
class Calibration:
    """The precision of detections by their score.

    Args:
        scores (list[float]): The mean score of the detections of each bin that has any.
        precisions (list[float]): The fraction of them that are right.
        counts (list[int]): Their number.
        error (float): The expected calibration error: the mean distance between score and
            precision over all detections; NaN without any.
    """

    scores: list[float]
    precisions: list[float]
    counts: list[int]
    error: float


def calibration(truth: Mapping[str, dict], predictions: Mapping[str, dict]) -> Calibration:
    """Compare the scores of detections with the fraction of them that are right.

    Args:
        truth (Mapping[str, dict]): The annotations by image id, see :func:`ground_truth`.
        predictions (Mapping[str, dict]): The predictions by image id.

    Returns:
        Calibration: The comparison in ten bins of equal width; right as in :func:`judge`.
    """
    scores, right = [], []
    for image, objects in truth.items():
        own = predictions[image]['scores'].numpy()
        for i, verdict in judge(objects, predictions[image], 0).items():
            if verdict is not None:
                scores.append(own[i])
                right.append(verdict)
    if not scores:
        return Calibration([], [], [], float('nan'))
    score, correct = np.array(scores, float), np.array(right, float)
    bins = np.minimum((score * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    means = np.bincount(bins, score, BINS)[filled] / counts[filled]
    precisions = np.bincount(bins, correct, BINS)[filled] / counts[filled]
    error = float((np.abs(means - precisions) * counts[filled]).sum() / counts.sum())
    return Calibration(means.tolist(), precisions.tolist(), counts[filled].tolist(), error)

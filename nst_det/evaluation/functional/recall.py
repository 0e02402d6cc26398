"""Recall of detections: the part of the objects that the best detections of each image find."""

from collections.abc import Sequence

import numpy as np
from mmdet.evaluation import bbox_overlaps


def eval_recall(
    detections: Sequence[Sequence[np.ndarray]],
    annotations: Sequence[dict[str, np.ndarray]],
    number: int,
    iou_thrs: Sequence[float],
) -> list[float]:
    """Compute the recall of the best detections of each image.

    An object is found by a detection of its own class, and a detection finds one object at most:
    pairs are made by falling overlap. The width of a box is counted in pixels, x2 − x1 + 1, as in
    VOC.

    Args:
        detections (Sequence[Sequence[ndarray]]): Per image and class, x1, y1, x2, y2 and score,
            `(M, 5)`.
        annotations (Sequence[dict]): Per image ``bboxes`` `(K, 4)` and ``labels`` `(K,)`.
        number (int): The number of detections that count in an image, those of the highest scores.
        iou_thrs (Sequence[float]): The smallest overlaps (intersection over union) of a pair.

    Returns:
        list[float]: The recall at each of ``iou_thrs``, from 0 to 1; 0.0 if there are no objects.
    """
    overlaps = []
    for of_classes, objects in zip(detections, annotations):
        labels = np.repeat(np.arange(len(of_classes)), [len(boxes) for boxes in of_classes])
        boxes = np.concatenate(of_classes)
        best = np.argsort(-boxes[:, 4], kind='stable')[:number]
        for label in np.unique(objects['labels']):
            overlaps += _overlaps_of_pairs(
                objects['bboxes'][objects['labels'] == label],
                boxes[best[labels[best] == label], :4],
            )
    if not overlaps:
        return [0.0] * len(iou_thrs)
    return [float((np.array(overlaps) >= iou_thr).mean()) for iou_thr in iou_thrs]


def _overlaps_of_pairs(objects: np.ndarray, boxes: np.ndarray) -> list[float]:
    """The overlap of each object with its detection, in any order; 0 for an object without one."""
    pairs = []
    ious = bbox_overlaps(objects, boxes, use_legacy_coordinate=True)
    for _ in range(min(ious.shape)):
        row, column = np.unravel_index(ious.argmax(), ious.shape)
        pairs.append(float(ious[row, column]))
        ious[row], ious[:, column] = -1, -1
    return pairs + [0.0] * (len(objects) - len(pairs))

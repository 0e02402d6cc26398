"""Average precision by the protocol of the PASCAL VOC challenges, in float64."""

from collections.abc import Sequence

import numpy as np


def eval_voc_map(
    detections: Sequence[dict[str, np.ndarray]],
    annotations: Sequence[dict[str, np.ndarray]],
    num_classes: int,
    iou_thr: float = 0.5,
    eval_mode: str = '11points',
) -> tuple[float, list[dict]]:
    """Mean average precision over the classes (Everingham et al., IJCV 2010, section 4.2).

    For each class, the detections on all images are sorted by falling score; detections of equal
    score stay in the order of the images. A detection is assigned to the object that it overlaps
    most, if that overlap is at least ``iou_thr``. The first detection of an object is right. Later
    detections of the same object, and detections without an object, are wrong. Difficult objects
    and their detections do not count. The width of a box is counted in pixels, x2 − x1 + 1, and so
    is its height.

    ``eval_map`` of mmdet computes the same in float32, with equal scores in any order. Its recall
    thresholds are multiples of the float 0.1, so that it misses the recalls 3/10, 6/10 and 7/10,
    which can change the AP of a class by a few hundredths.

    Args:
        detections (Sequence[dict]): Per image ``bboxes`` `(M, 4)` as x1, y1, x2, y2 in pixels,
            ``labels`` `(M,)` and ``scores`` `(M,)`.
        annotations (Sequence[dict]): Per image ``bboxes`` `(K, 4)`, ``labels`` `(K,)`, and
            ``bboxes_ignore`` and ``labels_ignore`` of the difficult objects.
        num_classes (int): The number of classes.
        iou_thr (float): The smallest overlap (intersection over union) of a right detection.
            Defaults to 0.5.
        eval_mode (str): ``'11points'``: the mean of the interpolated precision at the recalls 0,
            0.1, …, 1, as in VOC2007; ``'area'``: the area under the interpolated curve, as since
            VOC2010. Defaults to ``'11points'``.

    Returns:
        tuple[float, list[dict]]: The mean AP over the classes that have an object, 0.0 if no class
        has. Then of each class ``num_gts``, ``num_dets``, ``recall`` and ``precision`` along its
        detections, and ``ap`` (0.0 without objects), the same entries as ``eval_map`` returns.
    """
    images, labels, boxes, scores = _of_all_images(detections, 'labels', 'bboxes', 'scores')
    ordinary = _of_all_images(annotations, 'labels', 'bboxes')
    difficult = _of_all_images(annotations, 'labels_ignore', 'bboxes_ignore')
    is_difficult = np.repeat([False, True], [len(ordinary[0]), len(difficult[0])])
    columns = *(np.concatenate(both) for both in zip(ordinary, difficult)), is_difficult
    # Sorted by image; in an image, the ordinary objects before the difficult ones.
    order = np.argsort(columns[0], kind='stable')
    object_images, object_labels, object_boxes, is_difficult = (column[order] for column in columns)
    classes = []
    for label in range(num_classes):
        detected, annotated = labels == label, object_labels == label
        matches = _best_objects(
            images[detected],
            boxes[detected],
            object_images[annotated],
            object_boxes[annotated],
            iou_thr,
        )
        classes.append(_class_result(scores[detected], matches, is_difficult[annotated], eval_mode))
    aps = [result['ap'] for result in classes if result['num_gts']]
    return (float(np.mean(aps)) if aps else 0.0), classes


def average_precision(recall: np.ndarray, precision: np.ndarray, eval_mode: str) -> float:
    """Compute the average precision of a precision–recall curve.

    Args:
        recall (ndarray): The recall after each detection, sorted by falling score, `(M,)`, float64.
        precision (ndarray): The precision after each detection, `(M,)`, float64.
        eval_mode (str): ``'11points'`` or ``'area'``, see :func:`eval_voc_map`.

    Returns:
        float: The average precision.
    """
    # The best precision at this recall or a higher one, and 0 for a recall that is not reached.
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    if eval_mode == '11points':
        # i / 10 and not i * 0.1: a recall is a quotient too, so that 3 of 10 objects reach 3 / 10.
        return float(best[np.searchsorted(recall, np.arange(11) / 10)].mean())
    return float((np.diff(recall, prepend=0.0) * best[:-1]).sum())


def _of_all_images(by_image: Sequence[dict], *keys: str) -> list[np.ndarray]:
    """Concatenate the arrays of all images, preceded by the image number of each row."""
    counts = [len(arrays[keys[0]]) for arrays in by_image]
    columns = [np.concatenate([arrays[key] for arrays in by_image]) for key in keys]
    return [np.repeat(np.arange(len(by_image)), counts), *columns]


def _best_objects(
    images: np.ndarray,
    boxes: np.ndarray,
    object_images: np.ndarray,
    object_boxes: np.ndarray,
    iou_thr: float,
) -> np.ndarray:
    """The index of the object that each detection is assigned to, −1 if there is none.

    Of several objects with the same overlap it is the first. Every detection is paired with all
    objects of its image, and the overlaps of all pairs are computed at once.
    """
    first = np.searchsorted(object_images, images)
    counts = np.searchsorted(object_images, images, side='right') - first
    paired = np.flatnonzero(counts)
    first, counts = first[paired], counts[paired]
    starts = np.cumsum(counts) - counts
    candidates = np.arange(counts.sum()) + np.repeat(first - starts, counts)
    overlaps = _ious(boxes[np.repeat(paired, counts)], object_boxes[candidates])
    largest = np.maximum.reduceat(overlaps, starts) if len(starts) else overlaps
    of_largest = np.flatnonzero(overlaps == np.repeat(largest, counts))
    best = candidates[of_largest[np.searchsorted(of_largest, starts)]]
    matches = np.full(len(images), -1)
    matches[paired] = np.where(largest >= iou_thr, best, -1)
    return matches


def _class_result(
    scores: np.ndarray, matches: np.ndarray, is_difficult: np.ndarray, eval_mode: str
) -> dict:
    """The curve and the AP of one class; ``matches`` are indices of objects, −1 for none."""
    matches = matches[np.argsort(-scores, kind='stable')]
    ignored = np.append(is_difficult, False)[matches]  # −1 reads the False at the end
    first = np.zeros(len(matches), bool)
    first[np.unique(matches, return_index=True)[1]] = True
    right = first & (matches >= 0) & ~ignored
    num_right = np.cumsum(right)
    num_wrong = np.cumsum(~right & ~ignored)
    num_gts = int((~is_difficult).sum())
    recall = num_right / max(num_gts, 1)
    precision = num_right / np.maximum(num_right + num_wrong, 1)
    return dict(
        num_gts=num_gts,
        num_dets=len(scores),
        recall=recall,
        precision=precision,
        ap=average_precision(recall, precision, eval_mode),
    )


def _ious(boxes: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """The intersection over union of each pair of boxes, `(P,)`, with sides counted in pixels."""
    boxes, objects = boxes.astype(np.float64), objects.astype(np.float64)
    sides = np.minimum(boxes[:, 2:], objects[:, 2:]) - np.maximum(boxes[:, :2], objects[:, :2]) + 1
    shared = np.where((sides > 0).all(1), sides.prod(1), 0.0)
    areas = [(corners[:, 2:] - corners[:, :2] + 1).prod(1) for corners in (boxes, objects)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)

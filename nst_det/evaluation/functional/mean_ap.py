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

    Class by class, over all images: detections are taken by falling score, those of equal score in
    the order of the images. Each belongs to the object that it overlaps most, where that is at
    least ``iou_thr``. The first detection of an object is right, further ones are wrong, and so are
    those that belong to none; those of a difficult object count for nothing, nor does the object.
    Width and height of a box are counted in pixels, x2 − x1 + 1.

    It is what mmdet's ``eval_map`` computes in float32, with the scores' ties in any order and
    multiples of the float 0.1 for tenths, which misses the recalls 3/10, 6/10 and 7/10 and may so
    shift a class's AP by a few hundredths.

    Args:
        detections (Sequence[dict]): Per image ``bboxes`` `(M, 4)`: x1, y1, x2 and y2; ``labels``
            `(M,)` and ``scores`` `(M,)`.
        annotations (Sequence[dict]): Per image ``bboxes`` `(K, 4)`, ``labels`` `(K,)`, and
            ``bboxes_ignore`` and ``labels_ignore`` of its difficult objects.
        num_classes (int): How many classes there are.
        iou_thr (float): The least overlap (intersection over union). Defaults to 0.5.
        eval_mode (str): ``'11points'``, VOC2007's mean of the interpolated precision at the recalls
            0, 0.1, …, 1, or ``'area'``, that under the whole curve, as since VOC2010. Defaults to
            ``'11points'``.

    Returns:
        tuple[float, list[dict]]: The mean over the classes that have an object, 0.0 if none has;
        and of each class ``num_gts``, ``num_dets``, ``recall`` and ``precision`` along its
        detections, and ``ap`` (0.0 without objects), as ``eval_map`` gives them.
    """
    images, labels, boxes, scores = _of_all_images(detections, 'labels', 'bboxes', 'scores')
    ordinary = _of_all_images(annotations, 'labels', 'bboxes')
    difficult = _of_all_images(annotations, 'labels_ignore', 'bboxes_ignore')
    is_difficult = np.repeat([False, True], [len(ordinary[0]), len(difficult[0])])
    objects = *(np.concatenate(both) for both in zip(ordinary, difficult)), is_difficult
    # Image by image, the ordinary objects before the difficult ones.
    order = np.argsort(objects[0], kind='stable')
    object_images, object_labels, object_boxes, is_difficult = (one[order] for one in objects)
    classes = []
    for label in range(num_classes):
        found, there = labels == label, object_labels == label
        belongs = _best_objects(
            images[found], boxes[found], object_images[there], object_boxes[there], iou_thr
        )
        classes.append(_class_result(scores[found], belongs, is_difficult[there], eval_mode))
    aps = [one['ap'] for one in classes if one['num_gts']]
    return (float(np.mean(aps)) if aps else 0.0), classes


def average_precision(recall: np.ndarray, precision: np.ndarray, eval_mode: str) -> float:
    """Sum a precision–recall curve up.

    Args:
        recall (ndarray): Along the detections by falling score, `(M,)`, float64.
        precision (ndarray): Likewise.
        eval_mode (str): What :func:`eval_voc_map` takes.

    Returns:
        float: Its average precision.
    """
    # The best precision at this recall or beyond, and 0 where the curve does not reach.
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    if eval_mode == '11points':
        # i / 10 and not i * 0.1: both it and a recall are then the float next to their fraction,
        # so that 3 of 10 objects reach the recall 0.3.
        return float(best[np.searchsorted(recall, np.arange(11) / 10)].mean())
    return float((np.diff(recall, prepend=0.0) * best[:-1]).sum())


def _of_all_images(by_image: Sequence[dict], *keys: str) -> list[np.ndarray]:
    """Each row's image number, and the images' arrays of each key in one."""
    counts = [len(one[keys[0]]) for one in by_image]
    columns = [np.concatenate([one[key] for one in by_image]) for key in keys]
    return [np.repeat(np.arange(len(by_image)), counts), *columns]


def _best_objects(
    images: np.ndarray,
    boxes: np.ndarray,
    object_images: np.ndarray,
    object_boxes: np.ndarray,
    iou_thr: float,
) -> np.ndarray:
    """The object that each detection belongs to, the first of equals; −1 where there is none.

    Every detection is paired with the objects of its image, and all pairs are computed at once.
    """
    first = np.searchsorted(object_images, images)
    counts = np.searchsorted(object_images, images, side='right') - first
    paired = np.flatnonzero(counts)
    first, counts = first[paired], counts[paired]
    starts = np.cumsum(counts) - counts
    others = np.arange(counts.sum()) + np.repeat(first - starts, counts)
    overlaps = _ious(boxes[np.repeat(paired, counts)], object_boxes[others])
    largest = np.maximum.reduceat(overlaps, starts) if len(starts) else overlaps
    of_largest = np.flatnonzero(overlaps == np.repeat(largest, counts))
    best = others[of_largest[np.searchsorted(of_largest, starts)]]
    belongs = np.full(len(images), -1)
    belongs[paired] = np.where(largest >= iou_thr, best, -1)
    return belongs


def _class_result(
    scores: np.ndarray, belongs: np.ndarray, is_difficult: np.ndarray, eval_mode: str
) -> dict:
    belongs = belongs[np.argsort(-scores, kind='stable')]
    ignored = np.append(is_difficult, False)[belongs]  # where none, −1, the last
    first = np.zeros(len(belongs), bool)
    first[np.unique(belongs, return_index=True)[1]] = True
    right = first & (belongs >= 0) & ~ignored
    true = np.cumsum(right)
    false = np.cumsum(~right & ~ignored)
    num_gts = int((~is_difficult).sum())
    recall = true / max(num_gts, 1)
    precision = true / np.maximum(true + false, 1)
    return dict(
        num_gts=num_gts,
        num_dets=len(scores),
        recall=recall,
        precision=precision,
        ap=average_precision(recall, precision, eval_mode),
    )


def _ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair, `(P,)`, the sides counted in pixels."""
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2]) + 1
    shared = np.where((sides > 0).all(1), sides.prod(1), 0.0)
    areas = [(one[:, 2:] - one[:, :2] + 1).prod(1) for one in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)

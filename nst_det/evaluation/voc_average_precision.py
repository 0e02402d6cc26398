"""Average precision by the protocol of the PASCAL VOC challenges, in float64."""

from collections.abc import Sequence

import numpy as np


def eval_voc_map(
    det_results: Sequence[Sequence[np.ndarray]],
    annotations: Sequence[dict[str, np.ndarray]],
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
        det_results (Sequence[Sequence[ndarray]]): Per image and class the detections, `(M, 5)`: x1,
            y1, x2, y2 and the score.
        annotations (Sequence[dict]): Per image ``bboxes`` `(K, 4)`, ``labels`` `(K,)`, and
            ``bboxes_ignore`` and ``labels_ignore`` of its difficult objects.
        iou_thr (float): The least overlap (intersection over union). Defaults to 0.5.
        eval_mode (str): ``'11points'``, VOC2007's mean of the interpolated precision at the recalls
            0, 0.1, …, 1, or ``'area'``, that under the whole curve, as since VOC2010. Defaults to
            ``'11points'``.

    Returns:
        tuple[float, list[dict]]: The mean over the classes that have an object, 0.0 if none has;
        and of each class ``num_gts``, ``num_dets``, ``recall`` and ``precision`` along its
        detections, and ``ap`` (0.0 without objects), as ``eval_map`` gives them.
    """
    classes = [
        _class_result(
            [detections[label] for detections in det_results],
            [one['bboxes'][one['labels'] == label] for one in annotations],
            [one['bboxes_ignore'][one['labels_ignore'] == label] for one in annotations],
            iou_thr,
            eval_mode,
        )
        for label in range(len(det_results[0]))
    ]
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


def _class_result(
    detections: Sequence[np.ndarray],
    objects: Sequence[np.ndarray],
    difficult: Sequence[np.ndarray],
    iou_thr: float,
    eval_mode: str,
) -> dict:
    counts = [len(one) for one in detections]
    scores = np.concatenate([one[:, 4] for one in detections]).astype(np.float64)
    num_gts = sum(map(len, objects))
    matched = np.full(len(scores), -1)  # the object's number, over all images
    ignored = np.zeros(len(scores), bool)
    end = 0
    for i, count in enumerate(counts):
        start, end = end, end + count
        number_of_objects = len(objects[i]) + len(difficult[i])
        if not count or not number_of_objects:
            continue
        overlaps = _ious(detections[i][:, :4], np.concatenate([objects[i], difficult[i]]))
        which = overlaps.argmax(1)
        reached = overlaps[np.arange(count), which] >= iou_thr
        hard = which >= len(objects[i])
        # Any numbers do that differ between the objects.
        matched[start:end] = np.where(reached & ~hard, i + which * len(counts), -1)
        ignored[start:end] = reached & hard
    order = np.argsort(-scores, kind='stable')
    matched, ignored = matched[order], ignored[order]
    first = np.zeros(len(order), bool)
    first[np.unique(matched, return_index=True)[1]] = True
    right = first & (matched >= 0)
    true = np.cumsum(right)
    false = np.cumsum(~right & ~ignored)
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
    """Intersection over union of every pair, `(M, K)`, the sides counted in pixels."""
    boxes, others = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    low, high = (
        np.maximum(boxes[..., :2], others[..., :2]),
        np.minimum(boxes[..., 2:], others[..., 2:]),
    )
    sides = high - low + 1
    shared = np.where((sides > 0).all(-1), sides.prod(-1), 0.0)
    areas = [(one[..., 2:] - one[..., :2] + 1).prod(-1) for one in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)

"""The quality of detections: curves and AP by class over a test set, and F1 by image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.evaluation import bbox_overlaps

from nst_det.errors import UserError
from nst_det.evaluation.functional.mean_ap import eval_voc_map

MAX_POINTS = 400  # of a curve


@dataclass
class ClassQuality:
    """The quality of the detections of one class.

    Args:
        name (str): The class.
        ap (float): The average precision at IoU 0.50, 0 to 1; NaN if the test set has no object of
            the class.
        objects (int): The number of objects in the test set.
        detections (int): The number of detections.
        recall (list[float]): The recall along the curve, ascending.
        precision (list[float]): The precision at each recall.
    """

    name: str
    ap: float
    objects: int
    detections: int
    recall: list[float]
    precision: list[float]


def ground_truth(dataset: BaseDetDataset) -> dict[str, dict]:
    """Read the annotations of a test set.

    Args:
        dataset (BaseDetDataset): The test set.

    Returns:
        dict[str, dict]: By image id: ``path``, and the arrays ``bboxes`` `(n, 4)`, ``labels`` and
        ``ignored`` `(n,)`; ``masks`` is a list of polygons or RLEs, with None for an object that
        has none. Ignored objects (difficult, crowd) and their detections do not count.
    """
    truth = {}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        objects = info['instances']
        truth[info['img_id']] = dict(
            path=info['img_path'],
            bboxes=np.array([obj['bbox'] for obj in objects], np.float32).reshape(-1, 4),
            labels=np.array([obj['bbox_label'] for obj in objects], np.int64),
            ignored=np.array([obj.get('ignore_flag', 0) for obj in objects], bool),
            masks=[obj.get('mask') for obj in objects],
        )
    return truth


def quality_by_class(
    truth: Mapping[str, dict],
    predictions: Mapping[str, dict],
    classes: Sequence[str],
    eval_mode: str,
) -> list[ClassQuality]:
    """Compute the average precision and the curve of every class by VOC, at IoU 0.50.

    Args:
        truth (Mapping[str, dict]): The annotations, see :func:`ground_truth`.
        predictions (Mapping[str, dict]): The predictions by image id.
        classes (Sequence[str]): The classes.
        eval_mode (str): ``'11points'`` or ``'area'``.

    Returns:
        list[ClassQuality]: The quality of each class.

    Raises:
        UserError: If the predictions lack an image of this test set.
    """
    missing = [image for image in truth if image not in predictions]
    if missing:
        raise UserError(
            f'the predictions are of another test set: image {missing[0]} is not among them'
        )
    annotations, detections = [], []
    for image, objects in truth.items():
        ignored = objects['ignored']
        annotations.append(
            dict(
                bboxes=objects['bboxes'][~ignored],
                labels=objects['labels'][~ignored],
                bboxes_ignore=objects['bboxes'][ignored],
                labels_ignore=objects['labels'][ignored],
            )
        )
        predicted = predictions[image]
        detections.append({key: predicted[key].numpy() for key in ('bboxes', 'labels', 'scores')})
    _, by_class = eval_voc_map(detections, annotations, len(classes), eval_mode=eval_mode)
    qualities = []
    for name, result in zip(classes, by_class):
        recall, precision = result['recall'], result['precision']
        kept = np.unique(np.linspace(0, len(recall) - 1, MAX_POINTS).round().astype(int))
        kept = kept if len(recall) else kept[:0]
        num_objects = int(result['num_gts'])
        qualities.append(
            ClassQuality(
                name=name,
                ap=float(result['ap']) if num_objects else float('nan'),
                objects=num_objects,
                detections=int(result['num_dets']),
                recall=recall[kept].tolist(),
                precision=precision[kept].tolist(),
            )
        )
    return qualities


def judge(
    objects: Mapping[str, np.ndarray], predicted: Mapping, threshold: float
) -> dict[int, bool | None]:
    """Judge the detections on one image.

    A detection is right if it overlaps an object of its class by an IoU of at least 0.50, and no
    detection of a higher score has found that object. Detections of ignored objects do not count.

    Args:
        objects (Mapping[str, np.ndarray]): The annotations of the image, see :func:`ground_truth`.
        predicted (Mapping): The predictions for the image.
        threshold (float): Detections with a lower score are left out.

    Returns:
        dict[int, bool or None]: By the index of the detection in the predictions, sorted by falling
        score: True if it is right, False if it is wrong, None if it does not count.
    """
    boxes, labels, scores = (predicted[key].numpy() for key in ('bboxes', 'labels', 'scores'))
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] >= threshold]
    if not len(objects['labels']):
        return dict.fromkeys(order.tolist(), False)
    same_class = labels[:, None] == objects['labels']
    overlaps = np.where(same_class, bbox_overlaps(boxes, objects['bboxes']), 0)
    ignored = objects['ignored']
    free = ~ignored
    verdicts: dict[int, bool | None] = {}
    for i in order.tolist():
        found = overlaps[i] >= 0.5
        if (found & ignored).any() and not (found & ~ignored).any():
            verdicts[i] = None
            continue
        best = np.where(free, overlaps[i], 0).argmax()
        verdicts[i] = bool(free[best] and overlaps[i, best] >= 0.5)
        free[best] &= not verdicts[i]
    return verdicts


@dataclass
class Threshold:
    """A threshold of the score, and what the detections above it found in a test set.

    Args:
        threshold (float): The threshold.
        right (int): The number of right detections: of objects that were found.
        wrong (int): The number of wrong detections.
        objects (int): The number of objects in the test set.
    """

    threshold: float
    right: int
    wrong: int
    objects: int

    @property
    def f1(self) -> float:
        """float: 2 · right / (objects + detections), 0 to 1."""
        return 2 * self.right / max(1, self.objects + self.right + self.wrong)


def best_threshold(truth: Mapping[str, dict], predictions: Mapping[str, dict]) -> Threshold:
    """Find the threshold of the score at which F1 over all images of a test set is best.

    Args:
        truth (Mapping[str, dict]): The annotations, see :func:`ground_truth`.
        predictions (Mapping[str, dict]): The predictions by image id.

    Returns:
        Threshold: The highest threshold of the best F1. It keeps nothing if nothing is right.
    """
    objects = sum(int((~image['ignored']).sum()) for image in truth.values())
    judged: list[tuple[float, bool]] = []
    for image, annotated in truth.items():
        scores = predictions[image]['scores']
        # A verdict depends on higher scores alone, so it is the same at every threshold.
        judged += [
            (float(scores[i]), verdict)
            for i, verdict in judge(annotated, predictions[image], 0.0).items()
            if verdict is not None
        ]
    judged.sort(reverse=True)
    best = Threshold(math.inf, 0, 0, objects)
    right = 0
    for count, (score, verdict) in enumerate(judged, 1):
        right += verdict
        if count < len(judged) and judged[count][0] == score:
            continue  # a threshold keeps all detections of one score
        reached = Threshold(score, right, count - right, objects)
        if reached.f1 > best.f1:
            best = reached
    return best


def image_score(objects: Mapping[str, np.ndarray], predicted: Mapping, threshold: float) -> float:
    """Compute F1 on one image: 1 if every object is found once and nothing else is found.

    Args:
        objects (Mapping[str, np.ndarray]): The annotations of the image, see :func:`ground_truth`.
        predicted (Mapping): The predictions for the image.
        threshold (float): Detections with a lower score are left out.

    Returns:
        float: 2 · right / (objects + detections), 0 to 1, with the right detections of
        :func:`judge`; 1 if there is neither an object nor a detection.
    """
    verdicts = judge(objects, predicted, threshold).values()
    counted = [verdict for verdict in verdicts if verdict is not None]
    total = int((~objects['ignored']).sum()) + len(counted)
    return 2 * sum(counted) / total if total else 1.0

"""How well detections fit the ground truth: by class over a test set, and image by image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.evaluation import bbox_overlaps

from nst_det.errors import UserError
from nst_det.evaluation import eval_voc_map

MOST_POINTS = 400  # of a curve


@dataclass
class ClassQuality:
    """The detections of one class.

    Args:
        name (str): The class.
        ap (float): Average precision, 0 to 1; nan where the test set has no object of the class.
        objects (int): Objects of the class in the test set.
        detections (int): Detections of it.
        recall (list[float]): The curve's recalls, ascending.
        precision (list[float]): The precision at each of them.
    """

    name: str
    ap: float
    objects: int
    detections: int
    recall: list[float]
    precision: list[float]


def ground_truth(dataset: BaseDetDataset) -> dict[str, dict]:
    """The annotations of a test set.

    Args:
        dataset (BaseDetDataset): The test set.

    Returns:
        dict[str, dict]: By image id: ``path``, and ``bboxes`` `(n, 4)`, ``labels`` and ``ignored``
        `(n,)` as arrays; what is ignored (difficult, crowd) counts neither for nor against.
    """
    truth = {}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        objects = info['instances']
        truth[info['img_id']] = dict(
            path=info['img_path'],
            bboxes=np.array([one['bbox'] for one in objects], np.float32).reshape(-1, 4),
            labels=np.array([one['bbox_label'] for one in objects], np.int64),
            ignored=np.array([one.get('ignore_flag', 0) for one in objects], bool),
        )
    return truth


def quality_by_class(
    truth: Mapping[str, dict],
    predictions: Mapping[str, dict],
    classes: Sequence[str],
    eval_mode: str,
) -> list[ClassQuality]:
    """Average precision and precision–recall curve of every class at IoU 0.5, as VOC counts.

    Args:
        truth (Mapping[str, dict]): See :func:`ground_truth`.
        predictions (Mapping[str, dict]): Predictions by image id.
        classes (Sequence[str]): The classes.
        eval_mode (str): ``'11points'`` or ``'area'``.

    Returns:
        list[ClassQuality]: One per class.

    Raises:
        UserError: Where the predictions are not of this test set.
    """
    missing = [one for one in truth if one not in predictions]
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
        found = predictions[image]
        detections.append({key: found[key].numpy() for key in ('bboxes', 'labels', 'scores')})
    _, by_class = eval_voc_map(detections, annotations, len(classes), eval_mode=eval_mode)
    qualities = []
    for name, one in zip(classes, by_class):
        recall, precision = np.atleast_1d(one['recall']), np.atleast_1d(one['precision'])
        kept = np.unique(np.linspace(0, len(recall) - 1, MOST_POINTS).round().astype(int))
        kept = kept if len(recall) else kept[:0]
        num_objects = int(one['num_gts'])
        qualities.append(
            ClassQuality(
                name=name,
                ap=float(one['ap']) if num_objects else float('nan'),
                objects=num_objects,
                detections=int(one['num_dets']),
                recall=recall[kept].tolist(),
                precision=precision[kept].tolist(),
            )
        )
    return qualities


def judge(
    objects: Mapping[str, np.ndarray], found: Mapping, threshold: float
) -> dict[int, bool | None]:
    """Which of the detections on one image are right.

    A detection is right where it overlaps an object of its class that no better one has taken by an
    IoU of at least 0.5. Detections on ignored objects do not count.

    Args:
        objects (Mapping[str, np.ndarray]): The image's entry of :func:`ground_truth`.
        found (Mapping): Its predictions.
        threshold (float): Detections below this score are left out.

    Returns:
        dict[int, bool or None]: By the detection's place among the predictions, the surest first:
        True where it is right, False where it is wrong, None where it does not count.
    """
    boxes, labels, scores = (found[key].numpy() for key in ('bboxes', 'labels', 'scores'))
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] >= threshold]
    ignored = objects['ignored']
    taken = np.zeros(len(objects['labels']), bool)
    verdicts: dict[int, bool | None] = {}
    for i in order.tolist():
        overlaps = bbox_overlaps(boxes[i : i + 1], objects['bboxes'])[0]
        overlaps = np.where(objects['labels'] == labels[i], overlaps, 0)
        if (overlaps[ignored] >= 0.5).any() and not (overlaps[~ignored] >= 0.5).any():
            verdicts[i] = None
            continue
        free = np.where(taken | ignored, 0, overlaps)
        verdicts[i] = bool(len(free) and free.max() >= 0.5)
        if verdicts[i]:
            taken[free.argmax()] = True
    return verdicts


def image_score(objects: Mapping[str, np.ndarray], found: Mapping, threshold: float) -> float:
    """F1 of the detections on one image: 1 where each object is found once and nothing else is.

    Args:
        objects (Mapping[str, np.ndarray]): The image's entry of :func:`ground_truth`.
        found (Mapping): Its predictions.
        threshold (float): Detections below this score are left out.

    Returns:
        float: 2 · right / (objects + detections), 0 to 1; 1 where there is neither: see
        :func:`judge`.
    """
    counted = [one for one in judge(objects, found, threshold).values() if one is not None]
    total = int((~objects['ignored']).sum()) + len(counted)
    return 2 * sum(counted) / total if total else 1.0

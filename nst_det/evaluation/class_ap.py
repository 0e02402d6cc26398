"""The AP of each class, out of a test's predictions."""

from collections.abc import Sequence

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.evaluation import eval_map


def class_aps(
    dataset: BaseDetDataset, predictions: Sequence[dict], iou_thr: float = 0.5
) -> dict[str, float]:
    """AP by class, by VOC2007's protocol: 11 points, difficult objects ignored.

    It is what mmdet's ``VOCMetric`` averages and shows, but does not keep.

    Args:
        dataset (BaseDetDataset): The test set.
        predictions (Sequence[dict]): What ``tools/test.py --out`` wrote of a detector on it: each
            has ``img_id`` and ``pred_instances``.
        iou_thr (float): The overlap from which a detection is a match. Defaults to 0.5.

    Returns:
        dict[str, float]: By the class's name, in the data set's order; ``nan`` of a class that has
        no object in the test set, which the mean leaves out.
    """
    classes = dataset.metainfo['classes']
    found = {one['img_id']: one['pred_instances'] for one in predictions}
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    _, results = eval_map(
        [_by_class(found[info['img_id']], len(classes)) for info in infos],
        [_annotation(info['instances']) for info in infos],
        iou_thr=iou_thr,
        logger='silent',
        nproc=1,
        use_legacy_coordinate=True,
        eval_mode='11points',
    )
    return {
        name: float(one['ap']) if one['num_gts'] else float('nan')
        for name, one in zip(classes, results)
    }


def _by_class(instances: dict, num_classes: int) -> list[np.ndarray]:
    boxes, scores, labels = (np.asarray(instances[key]) for key in ('bboxes', 'scores', 'labels'))
    rows = np.hstack([boxes.reshape(-1, 4), scores.reshape(-1, 1)])
    return [rows[labels == label] for label in range(num_classes)]


def _annotation(objects: list[dict]) -> dict[str, np.ndarray]:
    boxes = np.array([one['bbox'] for one in objects], np.float32).reshape(-1, 4)
    labels = np.array([one['bbox_label'] for one in objects], np.int64)
    ignored = np.array([one['ignore_flag'] for one in objects], bool)
    return dict(
        bboxes=boxes[~ignored],
        labels=labels[~ignored],
        bboxes_ignore=boxes[ignored],
        labels_ignore=labels[ignored],
    )

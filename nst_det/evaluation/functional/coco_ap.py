"""The average precision that COCO defines, of boxes or masks, over all classes and by class."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from nst_det.errors import UserError

PYCOCOTOOLS, FASTER = 'pycocotools', 'faster_coco_eval'
BACKENDS = (PYCOCOTOOLS, FASTER)
AREAS = ('all', 'small', 'medium', 'large')
SUFFIXES = dict(small='_s', medium='_m', large='_l')
MAX_DETECTIONS = 100  # in an image, by COCO's definition
PARTS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


@dataclass(frozen=True)
class CocoAP:
    """The average precision of boxes or masks, as COCO defines it.

    Args:
        summary (dict[str, float]): Over all classes, from 0 to 1: ``mAP``, the mean over the IoU
            thresholds; ``mAP_50`` and ``mAP_75``, at one threshold; ``mAP_s``, ``mAP_m`` and
            ``mAP_l``, of small, medium and large objects. NaN if there are no such objects or the
            threshold is not among those that were asked for.
        classes (dict[str, dict[str, float]]): The same of each class.
    """

    summary: dict[str, float]
    classes: dict[str, dict[str, float]]


def coco_ap(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    target: str = 'bbox',
    classes: Sequence[str] | None = None,
    iou_thrs: Sequence[float] | None = None,
    backend: str = PYCOCOTOOLS,
) -> CocoAP:
    """Compute the average precision of COCO.

    Args:
        truth (Mapping): The content of an annotation file of COCO. It is not changed. The ids of
            annotations do not matter.
        detections (Sequence[Mapping]): The detections in COCO's format of results: ``image_id``,
            ``category_id``, ``score``, and ``bbox`` (x, y, width, height) or ``segmentation``. At
            most 100 in an image count, those with the highest scores.
        target (str): ``'bbox'`` or ``'segm'``. Defaults to ``'bbox'``.
        classes (Sequence[str], optional): The classes. Defaults to None, all in ``truth``.
        iou_thrs (Sequence[float], optional): The IoU thresholds. Defaults to None: 0.50, 0.55, up
            to 0.95.
        backend (str): Who computes it, ``'pycocotools'`` or ``'faster_coco_eval'``, which is
            faster and must be installed. Defaults to ``'pycocotools'``.

    Returns:
        CocoAP: The average precision.

    Raises:
        UserError: If the backend is unknown or not installed.
    """
    make_coco, make_evaluation = load_backend(backend)
    wanted = [
        category
        for category in truth['categories']
        if classes is None or category['name'] in classes
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = make_coco()
        # Both evaluators write into annotations.
        annotated.dataset = deepcopy(dict(truth))
        for number, annotation in enumerate(annotated.dataset['annotations'], start=1):
            annotation['id'] = number  # id 0 would mean "no match", and a repeated id one object
            annotation.setdefault('iscrowd', 0)
            annotation.setdefault('area', annotation['bbox'][2] * annotation['bbox'][3])
        annotated.createIndex()
        detected = make_coco()
        detected.dataset = dict(
            images=annotated.dataset['images'],
            categories=annotated.dataset['categories'],
            annotations=_results(detections, target, annotated),
        )
        detected.createIndex()
        evaluation = make_evaluation(annotated, detected, target)
        evaluation.params.catIds = [category['id'] for category in wanted]
        evaluation.params.imgIds = sorted(image['id'] for image in truth['images'])
        evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
        if iou_thrs is not None:
            evaluation.params.iouThrs = np.atleast_1d(iou_thrs).astype(float)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval['precision'])[..., -1]  # IoU, recall, class, area
    thresholds = np.asarray(evaluation.params.iouThrs)
    return CocoAP(
        _parts(precision, thresholds),
        {
            category['name']: _parts(precision[:, :, i : i + 1], thresholds)
            for i, category in enumerate(wanted)
        },
    )


def load_backend(backend: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Import a backend.

    Args:
        backend (str): ``'pycocotools'`` or ``'faster_coco_eval'``.

    Returns:
        tuple[Callable, Callable]: The classes of the annotations and of the evaluation.

    Raises:
        UserError: If the backend is unknown or not installed.
    """
    if backend == PYCOCOTOOLS:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    if backend == FASTER:
        try:
            from faster_coco_eval import COCO as FasterCOCO
            from faster_coco_eval import COCOeval_faster
        except ImportError as error:
            raise UserError(
                f'backend={backend!r} is not installed: pip install faster-coco-eval', 'backend'
            ) from error
        return FasterCOCO, COCOeval_faster
    raise UserError(f'backend={backend!r} is unknown: choose from {BACKENDS}', 'backend')


def _results(
    detections: Sequence[Mapping[str, Any]], target: str, annotated: Any
) -> list[dict[str, Any]]:
    """Number the detections, and give each the area by which it is small, medium or large."""
    from pycocotools import mask

    numbered = []
    for number, detection in enumerate(detections, start=1):
        result = dict(detection, id=number, iscrowd=0)
        if target == 'segm':
            result['segmentation'] = annotated.annToRLE(dict(result))
            result['area'] = float(mask.area(result['segmentation']))
            result['bbox'] = mask.toBbox(result['segmentation']).tolist()
        else:
            result['area'] = result['bbox'][2] * result['bbox'][3]
        numbered.append(result)
    return numbered


def _parts(precision: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    def mean(values: np.ndarray) -> float:
        known = values[values > -1]
        return float(known.mean()) if known.size else float('nan')

    def at(threshold: float) -> float:
        return mean(precision[np.isclose(thresholds, threshold), :, :, 0])

    return {
        'mAP': mean(precision[..., 0]),
        'mAP_50': at(0.5),
        'mAP_75': at(0.75),
        **{f'mAP{SUFFIXES[name]}': mean(precision[..., i]) for i, name in enumerate(AREAS) if i},
    }

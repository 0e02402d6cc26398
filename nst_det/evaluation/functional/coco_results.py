"""Detections in COCO's format of results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def coco_results(
    image_id: Any, instances: Mapping[str, Any], category_ids: Sequence[int], target: str = ''
) -> list[dict[str, Any]]:
    """Write the detections of an image in COCO's format.

    Args:
        image_id (int or str): The id of the image.
        instances (Mapping[str, Any]): ``bboxes`` `(n, 4)`, ``labels`` and ``scores`` `(n,)`, and
            ``masks``, a list of RLEs, if the detector predicts them.
        category_ids (Sequence[int]): The id of each class.
        target (str): ``'bbox'`` for boxes alone, ``'segm'`` for masks with their own scores.
            Defaults to ``''``: both, with the scores of the boxes.

    Returns:
        list[dict]: ``image_id``, ``category_id``, ``score``, and ``bbox`` (x, y, width, height in
        pixels) and ``segmentation`` (an RLE), as plain values of JSON.
    """
    boxes = np.asarray(instances['bboxes'], float).reshape(-1, 4)
    labels = np.asarray(instances['labels']).tolist()
    own_scores = instances.get('mask_scores') if target == 'segm' else None
    scores = np.asarray(instances['scores'] if own_scores is None else own_scores, float).tolist()
    masks = instances.get('masks') if target != 'bbox' else None
    results = []
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        result = dict(image_id=image_id, category_id=category_ids[labels[i]], score=scores[i])
        if target != 'segm':
            result['bbox'] = [x1, y1, x2 - x1, y2 - y1]
        if masks is not None:
            result['segmentation'] = plain_rle(masks[i])
        results.append(result)
    return results


def plain_rle(rle: Mapping[str, Any]) -> dict[str, Any]:
    """Write a run-length encoded mask as plain values of JSON.

    Args:
        rle (Mapping[str, Any]): ``size`` (height, width) and ``counts``, which pycocotools gives as
            bytes.

    Returns:
        dict[str, Any]: The same with text as ``counts``.
    """
    counts = rle['counts']
    return dict(
        size=list(map(int, rle['size'])),
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )

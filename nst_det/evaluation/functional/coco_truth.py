"""The annotations of a test set in COCO's format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset, CocoDataset


@dataclass(frozen=True)
class CocoTruth:
    """The annotations of a test set in COCO's format.

    Args:
        content (dict): ``images``, ``annotations`` and ``categories``.
        image_ids (Mapping[Any, int]): COCO's id of each image by the id in the data set.
        category_ids (list[int]): COCO's id of each class.
        is_converted (bool): Whether the data set has other annotations than COCO's, so that the
            ids are numbers from 1.
    """

    content: dict[str, Any]
    image_ids: Mapping[Any, int]
    category_ids: list[int]
    is_converted: bool


def coco_truth(dataset: BaseDetDataset) -> CocoTruth:
    """Read the annotation file of a data set of COCO, or convert the annotations of another one.

    Objects that are ignored (VOC's difficult ones) become crowds, whose detections do not count.

    Args:
        dataset (BaseDetDataset): The data set.

    Returns:
        CocoTruth: The annotations.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    if isinstance(dataset, CocoDataset):
        content = json.loads(Path(dataset.ann_file).read_text(encoding='utf-8'))
        image_ids = {info['img_id']: info['img_id'] for info in infos}
        return CocoTruth(content, image_ids, list(dataset.cat_ids), is_converted=False)
    image_ids = {info['img_id']: number for number, info in enumerate(infos, start=1)}
    content = dict(
        images=[
            dict(
                id=image_ids[info['img_id']],
                file_name=info['img_path'],
                width=info['width'],
                height=info['height'],
            )
            for info in infos
        ],
        annotations=[
            annotation
            for info in infos
            for annotation in _annotations(info, image_ids[info['img_id']])
        ],
        categories=[
            dict(id=number, name=name)
            for number, name in enumerate(dataset.metainfo['classes'], start=1)
        ],
    )
    for number, annotation in enumerate(content['annotations'], start=1):
        annotation['id'] = number
    category_ids = [category['id'] for category in content['categories']]
    return CocoTruth(content, image_ids, category_ids, is_converted=True)


def _annotations(info: Mapping[str, Any], image_id: int) -> list[dict]:
    annotations = []
    for obj in info['instances']:
        x1, y1, x2, y2 = np.asarray(obj['bbox'], float).tolist()
        annotation = dict(
            image_id=image_id,
            category_id=obj['bbox_label'] + 1,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            area=(x2 - x1) * (y2 - y1),
            iscrowd=int(obj.get('ignore_flag', 0)),
        )
        if 'mask' in obj:
            annotation['segmentation'] = obj['mask']
        annotations.append(annotation)
    return annotations

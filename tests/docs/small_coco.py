"""A data set of shapes in COCO's folders and with COCO's annotations."""

import json
from collections.abc import Sequence
from pathlib import Path

from mmdet.datasets import CocoDataset

from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset, make_shapes_devkit


def make_small_coco(folder: Path) -> None:
    """Draw four images, and list them for training and validation.

    Args:
        folder (Path): What is to be ``data/coco``.
    """
    devkit = make_shapes_devkit(folder / 'shapes', 4, 2, image_size=64)
    content = coco_content(devkit, CocoDataset.METAINFO['classes'])
    (folder / 'annotations').mkdir()
    for split in ('train2017', 'val2017'):
        (folder / split).symlink_to(devkit / 'VOC2007' / 'JPEGImages')
        (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def make_own_coco(folder: Path) -> None:
    """Draw the images of a user, with one JSON.

    Args:
        folder (Path): What is to be ``data/mine``.
    """
    devkit = make_shapes_devkit(folder / 'shapes', 8, 2, image_size=64)
    content = coco_content(devkit, ('disk', 'box', 'tri', 'star'))
    (folder / 'images').symlink_to(devkit / 'VOC2007' / 'JPEGImages')
    (folder / 'annotations.json').write_text(json.dumps(content))


def coco_content(devkit: Path, names: Sequence[str]) -> dict:
    """Write the annotations of drawn shapes as COCO does.

    Args:
        devkit (Path): The devkit of the shapes.
        names (Sequence[str]): The names of the categories, of which the shapes have the first four.

    Returns:
        dict: The content of the JSON.
    """
    shapes = VOCDevkitDataset(
        data_root=str(devkit),
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
    )
    content = dict(
        images=[], annotations=[], categories=[dict(id=i + 1, name=n) for i, n in enumerate(names)]
    )
    for i in range(len(shapes)):
        info = shapes.get_data_info(i)
        file = Path(info['img_path'])
        content['images'].append(dict(id=i, file_name=file.name, width=64, height=64))
        for one in info['instances']:
            left, top, right, bottom = map(float, one['bbox'])
            box = [left, top, right - left, bottom - top]
            content['annotations'].append(
                dict(
                    id=len(content['annotations']) + 1,
                    image_id=i,
                    category_id=one['bbox_label'] + 1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    return content

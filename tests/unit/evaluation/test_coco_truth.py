"""The annotations of a data set, and detections, in COCO's format."""

import json
import pickle

import torch
from mmdet.datasets import CocoDataset
from random_coco import random_coco

from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset
from nst_det.evaluation.functional.coco_ap import coco_ap
from nst_det.evaluation.functional.coco_truth import coco_truth
from nst_det.evaluation.metrics.coco_file import CocoResultsFile


def predictions(dataset):
    """Every object, found exactly, as a test keeps them."""
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        boxes = torch.tensor([obj['bbox'] for obj in info['instances']]).reshape(-1, 4).float()
        labels = torch.tensor([obj['bbox_label'] for obj in info['instances']])
        found = dict(bboxes=boxes, labels=labels.long(), scores=torch.ones(len(boxes)))
        yield dict(img_id=info['img_id'], pred_instances=found)


def test_detections_on_a_voc_devkit_refer_to_the_annotations_beside_them(shapes, tmp_path):
    dataset = VOCDevkitDataset(
        data_root=shapes,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        test_mode=True,
    )
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    difficult = sum(obj['ignore_flag'] for info in infos for obj in info['instances'])
    metric = CocoResultsFile(tmp_path / 'found.json', coco_truth(dataset))
    metric.process({}, pickle.loads(pickle.dumps(list(predictions(dataset)))))
    metric.evaluate(len(dataset))
    truth = json.loads((tmp_path / 'found_truth.json').read_text())
    found = json.loads((tmp_path / 'found.json').read_text())
    assert [category['name'] for category in truth['categories']] == list(SHAPE_CLASSES)
    assert [image['width'] for image in truth['images']] == [64] * 4
    assert sum(obj['iscrowd'] for obj in truth['annotations']) == difficult
    assert coco_ap(truth, found).summary['mAP'] == 1


def test_detections_on_a_coco_set_have_its_own_ids(tmp_path):
    truth, _ = random_coco(0)
    for image in truth['images']:
        image['file_name'] = f'{image["id"]}.jpg'
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    dataset = CocoDataset(
        ann_file=str(tmp_path / 'truth.json'),
        data_prefix=dict(img=''),
        metainfo=dict(classes=('class 0', 'class 2')),
        test_mode=True,
    )
    metric = CocoResultsFile(tmp_path / 'found.json', coco_truth(dataset))
    metric.process({}, list(predictions(dataset)))
    metric.evaluate(len(dataset))
    found = json.loads((tmp_path / 'found.json').read_text())
    assert not (tmp_path / 'found_truth.json').exists()
    assert {result['image_id'] for result in found} <= {image['id'] for image in truth['images']}
    assert {result['category_id'] for result in found} == {2, 16}
    assert coco_ap(truth, found, classes=['class 0', 'class 2']).summary['mAP'] == 1

"""The metric of COCO beside that of mmdet."""

import copy
import json

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from random_coco import random_coco

from nst_det.errors import UserError
from nst_det.evaluation import CocoDetectionMetric, Results
from nst_det.evaluation.functional.coco_ap import BACKENDS

TRUTH, DETECTIONS = random_coco(1)
CLASSES = tuple(category['name'] for category in TRUTH['categories'])


@pytest.fixture
def ann_file(tmp_path):
    (tmp_path / 'truth.json').write_text(json.dumps({'info': {}, **TRUTH}))
    return str(tmp_path / 'truth.json')


def evaluate(metric, detections=DETECTIONS):
    """Give a metric all images, and compute."""
    metric.dataset_meta = dict(classes=CLASSES)
    for image in TRUTH['images']:
        own = [d for d in detections if d['image_id'] == image['id']]
        boxes = np.array([d['bbox'] for d in own], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = [(d['category_id'] - 2) // 7 for d in own]
        result = dict(
            img_id=image['id'],
            bboxes=boxes,
            labels=np.array(labels, int),
            scores=np.array([d['score'] for d in own]),
            masks=[dict(d['segmentation']) for d in own],
        )
        metric.results.append((dict(img_id=image['id'], width=200, height=200), result))
    return metric.evaluate(len(TRUTH['images']))


@pytest.mark.parametrize('backend', BACKENDS)
def test_the_values_are_those_of_mmdet_without_its_rounding(ann_file, backend):
    pytest.importorskip(backend, reason=f'{backend} is not installed')
    targets = ['bbox', 'segm']
    ours = evaluate(CocoDetectionMetric(ann_file, metric=targets, backend=backend))
    theirs = evaluate(CocoMetric(ann_file, metric=targets))
    assert len(theirs) == 12
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=0.00051), key


def test_boxes_and_masks_have_the_values_of_each_class(ann_file):
    metric = CocoDetectionMetric(ann_file, metric=['bbox', 'segm'])
    results = Results(evaluate(metric))
    titles = [by_class.title for by_class in results.by_class]
    assert titles == ['box mAP (IoU 0.50:0.95)', 'mask mAP (IoU 0.50:0.95)']
    for by_class, values in results.by_class.items():
        assert list(values) == list(CLASSES)
        assert np.mean(list(values.values())) == pytest.approx(results.value(by_class))


def test_the_test_without_detections_has_zeros(ann_file):
    values = evaluate(CocoDetectionMetric(ann_file), detections=[])
    assert values['coco/bbox_mAP'] == values['coco/bbox_mAP_50'] == 0


def test_annotations_of_the_id_0_are_counted_and_told(tmp_path, caplog):
    truth = copy.deepcopy(TRUTH)
    truth['annotations'][0]['id'] = 0  # as mmdet's converter of VOC numbers the first
    perfect = [dict(obj, score=0.9) for obj in TRUTH['annotations'] if not obj['iscrowd']]
    (tmp_path / 'truth.json').write_text(json.dumps({'info': {}, **truth}))
    logger = MMLogger.get_instance('test_coco_metric')
    logger.addHandler(caplog.handler)
    values = evaluate(CocoDetectionMetric(str(tmp_path / 'truth.json')), perfect)
    theirs = evaluate(CocoMetric(str(tmp_path / 'truth.json')), perfect)
    logger.removeHandler(caplog.handler)
    assert values['coco/bbox_mAP'] == 1 > theirs['coco/bbox_mAP']
    assert '1 annotations have the id 0' in caplog.text


def test_the_results_are_written_where_mmdet_writes_them(ann_file, tmp_path):
    evaluate(CocoDetectionMetric(ann_file, outfile_prefix=str(tmp_path / 'out')))
    assert len(json.loads((tmp_path / 'out.bbox.json').read_text())) == len(DETECTIONS)


def test_all_values_count_the_same_hundred_detections(tmp_path):
    # 150 objects, all found exactly: mmdet's mAP is 0.66, and its AP at 0.50 and at 0.75 is 1.
    boxes = [[10.0 * (i % 15), 10.0 * (i // 15), 8.0, 8.0] for i in range(150)]
    objects = [
        dict(id=i + 1, image_id=1, category_id=2, bbox=box, area=64.0, iscrowd=0)
        for i, box in enumerate(boxes)
    ]
    images = [dict(id=1, width=150, height=100)]
    truth = dict(images=images, annotations=objects, categories=TRUTH['categories'])
    (tmp_path / 'truth.json').write_text(json.dumps({'info': {}, **truth}))
    metric = CocoDetectionMetric(str(tmp_path / 'truth.json'))
    metric.dataset_meta = dict(classes=CLASSES)
    corners = np.array(boxes)
    corners[:, 2:] += corners[:, :2]
    scores = np.linspace(1, 0.5, len(boxes))
    found = dict(img_id=1, bboxes=corners, labels=np.zeros(len(boxes), int), scores=scores)
    metric.results = [(dict(img_id=1, width=150, height=100), found)]
    values = metric.evaluate(1)
    assert values['coco/bbox_mAP'] == values['coco/bbox_mAP_50'] == values['coco/bbox_mAP_s']
    assert values['coco/bbox_mAP'] == pytest.approx(67 / 101)  # recall 100 / 150


def test_a_metric_that_it_does_not_compute_is_an_error(ann_file):
    with pytest.raises(UserError, match="type='CocoMetric'"):
        CocoDetectionMetric(ann_file, metric='proposal')


def test_it_is_built_from_a_config(ann_file):
    metric = METRICS.build(dict(type='CocoDetectionMetric', ann_file=ann_file, iou_thrs=0.5))
    values = evaluate(metric)
    assert values['coco/bbox_mAP'] == values['coco/bbox_mAP_50']
    assert 'coco/bbox_mAP_75' not in values

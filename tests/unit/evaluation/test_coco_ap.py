"""COCO's average precision, against pycocotools' own summary and between the backends."""

import contextlib
import io
import math
from copy import deepcopy

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_coco import random_coco

from nst_det.datasets import VOCDevkitDataset
from nst_det.errors import UserError
from nst_det.evaluation.functional.coco_ap import BACKENDS, PARTS, coco_ap
from nst_det.evaluation.functional.coco_truth import coco_truth


def values(measured):
    return np.array(
        [*measured.summary.values(), *(v for c in measured.classes.values() for v in c.values())]
    )


def reference(truth, detections, target):
    """The first six numbers that pycocotools prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO()
        api.dataset = {'info': {}, **deepcopy(truth)}
        api.createIndex()
        keep = 'bbox' if target == 'bbox' else 'segmentation'
        plain = [
            {k: v for k, v in d.items() if k in ('image_id', 'category_id', 'score', keep)}
            for d in detections
        ]
        evaluation = COCOeval(api, api.loadRes(plain), target)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


@pytest.mark.parametrize('target', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(3))
def test_the_summary_is_that_of_pycocotools(seed, target):
    truth, detections = random_coco(seed)
    summary = coco_ap(truth, detections, target).summary
    assert [summary[part] for part in PARTS] == pytest.approx(
        reference(truth, detections, target), abs=1e-15
    )


def test_the_backends_agree_on_a_hundred_sets():
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is not installed')
    for seed in range(100):
        truth, detections = random_coco(seed, images=6, classes=3)
        target = 'segm' if seed % 5 == 0 else 'bbox'
        slow, fast = (values(coco_ap(truth, detections, target, backend=b)) for b in BACKENDS)
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12, err_msg=f'seed {seed}')


def test_the_backends_agree_on_genuine_annotations(shared):
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is not installed')
    dataset = VOCDevkitDataset(
        data_root=shared / 'data' / 'voc2007_subset' / 'VOCdevkit',
        data_prefix=dict(sub_data_root='VOC2007/'),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        test_mode=True,
        indices=200,
    )
    truth, rng = coco_truth(dataset).content, np.random.default_rng(0)
    detections = [
        dict(
            image_id=obj['image_id'],
            category_id=obj['category_id'],
            bbox=np.clip(np.array(obj['bbox']) + rng.normal(0, 10, 4), 1, None).tolist(),
            score=float(rng.random()),
        )
        for obj in truth['annotations'] * 3
    ]
    slow, fast = (values(coco_ap(truth, detections, backend=b)) for b in BACKENDS)
    assert 0.1 < slow[0] < 0.9
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)


@pytest.mark.parametrize('backend', BACKENDS)
def test_the_mean_of_the_classes_is_the_whole(backend):
    pytest.importorskip(backend, reason=f'{backend} is not installed')
    truth, detections = random_coco(0)
    measured = coco_ap(truth, detections, backend=backend)
    by_class = [parts['mAP'] for parts in measured.classes.values()]
    assert measured.summary['mAP'] == pytest.approx(np.mean(by_class))
    assert list(measured.classes) == [category['name'] for category in truth['categories']]


@pytest.mark.parametrize('backend', BACKENDS)
def test_no_detection_has_an_ap_of_zero(backend):
    pytest.importorskip(backend, reason=f'{backend} is not installed')
    truth, _ = random_coco(0)
    assert coco_ap(truth, [], backend=backend).summary['mAP'] == 0


def test_what_is_not_there_has_no_ap():
    truth, detections = random_coco(0)
    truth['categories'].append(dict(id=99, name='unicorn'))
    measured = coco_ap(truth, detections, iou_thrs=[0.5])
    assert math.isnan(measured.classes['unicorn']['mAP'])
    assert math.isnan(measured.summary['mAP_75'])
    assert measured.summary['mAP'] == measured.summary['mAP_50']


def test_only_the_wanted_classes_count():
    truth, detections = random_coco(0)
    all_classes, one = coco_ap(truth, detections), coco_ap(truth, detections, classes=['class 2'])
    assert list(one.classes) == ['class 2']
    assert one.summary == all_classes.classes['class 2']


def test_the_ids_of_annotations_do_not_matter():
    truth, detections = random_coco(0)
    expected = values(coco_ap(truth, detections))
    for obj in truth['annotations']:
        obj['id'] = 0  # as a common converter numbers the first; pycocotools takes it for no match
    np.testing.assert_array_equal(values(coco_ap(truth, detections)), expected)
    assert truth['annotations'][-1]['id'] == 0


def test_annotations_need_neither_area_nor_iscrowd():
    truth, detections = random_coco(0)
    for obj in truth['annotations']:
        del obj['area'], obj['iscrowd']
    assert 0 < coco_ap(truth, detections).summary['mAP'] < 1


def test_an_unknown_backend_is_an_error():
    with pytest.raises(UserError, match="choose from .*'faster_coco_eval'") as caught:
        coco_ap(*random_coco(0), backend='fast')
    assert caught.value.option == 'backend'

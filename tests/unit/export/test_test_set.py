"""A graph and its detector are measured on the same test set: the config's or a given one."""

import json
import shutil
from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict
from tiny_detectors import CLASSES, tiny_detector

from nst_det.errors import UserError
from nst_det.export.info import model_info
from nst_det.export.onnx_graph import record_graph, with_info
from nst_det.export.test_set import TestSet, map_difference
from nst_det.runtime.session import OnnxSession


@pytest.fixture
def coco(shapes, tmp_path):
    """``instances_val.json`` without objects and, in ``val``, its images."""
    devkit = shapes / 'VOC2007'
    shutil.copytree(devkit / 'JPEGImages', tmp_path / 'val')
    images = [
        dict(id=i, file_name=file.name, width=64, height=64)
        for i, file in enumerate(sorted((tmp_path / 'val').glob('*.jpg')))
    ]
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES)]
    truth = dict(images=images, annotations=[], categories=categories)
    (tmp_path / 'instances_val.json').write_text(json.dumps(truth))
    return tmp_path / 'instances_val.json'


@pytest.fixture
def detector_and_config():
    detector, cfg = tiny_detector('RetinaNet')
    resize = next(step for step in cfg.test_dataloader.dataset.pipeline if step['type'] == 'Resize')
    resize['scale'] = (96, 96)
    cfg.test_dataloader.dataset.metainfo = dict(classes=CLASSES)
    cfg.test_evaluator = ConfigDict(type='CocoDetectionMetric', ann_file='gone.json')
    return detector, cfg


def annotate(coco, detector, test_set):
    """Make objects of some of what a detector finds, so that it has a precision above 0."""
    truth = json.loads(coco.read_text())
    for i in range(len(test_set.dataset)):
        data = test_set.dataset[i]
        with torch.no_grad():
            (sample,) = detector.test_step(
                dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
            )
        found = sample.pred_instances
        for box, label in list(zip(found.bboxes.tolist(), found.labels.tolist()))[::3]:
            x1, y1, x2, y2 = box
            number = len(truth['annotations'])
            truth['annotations'].append(
                dict(id=number, image_id=sample.img_id, category_id=label, iscrowd=0,
                     bbox=[x1, y1, x2 - x1 + 1, y2 - y1 + 1], area=(x2 - x1) * (y2 - y1))
            )  # fmt: skip
    coco.write_text(json.dumps(truth))


def test_a_graph_has_the_map_of_its_detector_on_a_json_of_coco(detector_and_config, coco):
    detector, cfg = detector_and_config
    graph, module = record_graph(detector)
    session = OnnxSession(with_info(graph, model_info(module, cfg, CLASSES)), threads=1)
    annotate(coco, detector, TestSet(cfg, coco))
    test_set = TestSet(cfg, coco)
    own, given = test_set.evaluate_detector(detector), test_set.evaluate_graph(session)
    assert 0 < own['coco/bbox_mAP_50'] < 1
    assert map_difference(own, given) < 1e-4
    assert [batch.images.shape[1:] for batch in test_set.batches(2)] == [(3, 96, 96)] * 2


def test_another_kind_of_data_set_is_refused_in_one_line(detector_and_config, coco, shapes):
    _, cfg = detector_and_config
    open_set = partial(TestSet, cfg)
    with pytest.raises(UserError, match=r'is a VOC devkit, and the test set of the config is a Co'):
        open_set(shapes)
    with pytest.raises(UserError, match=r'there is no data set .*gone\.json'):
        open_set(coco.with_name('gone.json'))
    shutil.rmtree(coco.parent / 'val')
    with pytest.raises(UserError, match=r'names the image .*, which is not in'):
        open_set(coco)


def test_a_value_that_one_side_lacks_is_an_infinite_difference():
    assert map_difference({'mAP': 0.5}, {'mAP': 0.5}) == 0
    assert map_difference({'mAP': 0.5}, {}) == float('inf')
    assert map_difference({'mAP': float('nan')}, {'mAP': float('nan')}) == float('inf')

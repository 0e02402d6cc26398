"""The metric that the configs name."""

import numpy as np
import pytest
import torch
from locations import CONFIGS
from mmdet.evaluation import VOCMetric
from mmdet.registry import METRICS
from mmengine.config import Config

from nst_det.evaluation import VOCDevkitMetric

CLASSES = ('cat', 'dog', 'cow')


def one_image():
    """A cat found, a dog missed, no cow."""
    cat, dog = [0.0, 0, 9, 9], [20.0, 0, 29, 9]
    return dict(
        gt_instances=dict(bboxes=torch.tensor([cat, dog]), labels=torch.tensor([0, 1])),
        ignored_instances=dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0)),
        pred_instances=dict(
            bboxes=torch.tensor([cat]), labels=torch.tensor([0]), scores=torch.ones(1)
        ),
    )


def evaluate(metric):
    metric.dataset_meta = dict(classes=CLASSES, dataset_type='VOC2007')
    metric.process({}, [one_image()])
    return metric.evaluate(1)


def test_it_gives_the_mean_and_each_class_that_has_objects():
    assert evaluate(VOCDevkitMetric()) == {
        'pascal_voc/mAP': 0.5,
        'pascal_voc/AP50': 0.5,
        'pascal_voc/AP/cat': 1.0,
        'pascal_voc/AP/dog': 0.0,
    }


def test_several_thresholds_are_averaged():
    found = evaluate(VOCDevkitMetric(iou_thrs=[0.5, 0.75]))
    assert found['pascal_voc/AP75'] == found['pascal_voc/mAP'] == 0.5


def test_what_it_keeps_holds_no_memory_of_the_data_workers():
    metric, sample = VOCDevkitMetric(), one_image()
    metric.process({}, [sample])
    (annotation, detections), *_ = metric.results
    for kept, instances in ((annotation, 'gt_instances'), (detections, 'pred_instances')):
        assert not np.shares_memory(kept['bboxes'], sample[instances]['bboxes'].numpy())


def test_recall_is_mmdets():
    ours, theirs = (evaluate(kind(metric='recall')) for kind in (VOCDevkitMetric, VOCMetric))
    assert ours == theirs


@pytest.mark.parametrize('name', ['faster_rcnn_nst_voc.py', 'demo/nst_student.py'])
def test_the_configs_use_it(name):
    cfg = Config.fromfile(CONFIGS / name)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        assert isinstance(metric, VOCDevkitMetric) and metric.eval_mode == '11points'

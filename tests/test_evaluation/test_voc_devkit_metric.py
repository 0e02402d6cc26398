"""The metric that the configs name."""

from pathlib import Path

import pytest
import torch
from mmdet.evaluation import VOCMetric
from mmdet.registry import METRICS
from mmengine.config import Config

from nst_det.evaluation import VOCDevkitMetric

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CLASSES = ('cat', 'dog', 'cow')


def evaluate(metric):
    """One image: a cat found, a dog missed, no cow."""
    metric.dataset_meta = dict(classes=CLASSES, dataset_type='VOC2007')
    cat, dog = [0.0, 0, 9, 9], [20.0, 0, 29, 9]
    sample = dict(
        gt_instances=dict(bboxes=torch.tensor([cat, dog]), labels=torch.tensor([0, 1])),
        ignored_instances=dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0)),
        pred_instances=dict(
            bboxes=torch.tensor([cat]), labels=torch.tensor([0]), scores=torch.ones(1)
        ),
    )
    metric.process({}, [sample])
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


def test_recall_is_mmdets():
    ours, theirs = (evaluate(kind(metric='recall')) for kind in (VOCDevkitMetric, VOCMetric))
    assert ours == theirs


@pytest.mark.parametrize('name', ['faster_rcnn_nst_voc.py', 'demo/nst_student.py'])
def test_the_configs_use_it(name):
    cfg = Config.fromfile(CONFIGS / name)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        assert isinstance(metric, VOCDevkitMetric) and metric.eval_mode == '11points'

"""VOCDevkitMetric, the metric that the VOC configs name."""

import numpy as np
import pytest
import torch
from locations import CONFIGS, DEMO
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


def test_voc_metric_returns_the_mean_and_the_ap_of_each_class_with_objects():
    assert evaluate(VOCDevkitMetric()) == {
        'pascal_voc/mAP': 0.5,
        'pascal_voc/AP50': 0.5,
        'pascal_voc/AP/cat': 1.0,
        'pascal_voc/AP/dog': 0.0,
    }


def test_voc_metric_averages_over_several_thresholds():
    metrics = evaluate(VOCDevkitMetric(iou_thrs=[0.5, 0.75]))
    assert metrics['pascal_voc/AP75'] == metrics['pascal_voc/mAP'] == 0.5


def test_voc_metric_keeps_thresholds_apart_that_int_would_give_one_key():
    # int(100 * 0.57) is 56, as is int(100 * 0.56).
    image = one_image()
    # A cat of 100 pixels, found by a box of 56: its IoU is 0.56.
    image['pred_instances']['bboxes'] = torch.tensor([[0.0, 0, 6, 7]])
    metric = VOCDevkitMetric(iou_thrs=[0.56, 0.57, 0.565])
    metric.dataset_meta = dict(classes=CLASSES, dataset_type='VOC2007')
    metric.process({}, [image])
    metrics = metric.evaluate(1)
    by_threshold = {key: metrics[f'pascal_voc/{key}'] for key in ('AP56', 'AP57', 'AP56.5')}
    assert by_threshold == {'AP56': 0.5, 'AP57': 0.0, 'AP56.5': 0.0}
    assert metrics['pascal_voc/mAP'] == pytest.approx(0.5 / 3)
    assert metrics['pascal_voc/AP/cat'] == pytest.approx(1 / 3)


def test_voc_metric_writes_a_threshold_below_a_tenth_with_two_digits():
    assert evaluate(VOCDevkitMetric(iou_thrs=[0.05]))['pascal_voc/AP05'] == 0.5


def test_voc_metric_keeps_no_memory_of_the_data_workers():
    metric, sample = VOCDevkitMetric(), one_image()
    metric.process({}, [sample])
    (annotation, detections), *_ = metric.results
    for kept, instances in ((annotation, 'gt_instances'), (detections, 'pred_instances')):
        assert not np.shares_memory(kept['bboxes'], sample[instances]['bboxes'].numpy())


def test_recall_counts_an_object_as_found_by_its_own_class_alone():
    image = one_image()
    cat, dog = image['gt_instances']['bboxes'].tolist()
    # The dog is found exactly, with the higher score; the cat by a dog's box, and by its own.
    image['pred_instances'] = dict(
        bboxes=torch.tensor([dog, cat, cat]),
        labels=torch.tensor([1, 1, 0]),
        scores=torch.tensor([0.9, 0.8, 0.7]),
    )
    metric = VOCDevkitMetric(metric='recall', proposal_nums=(1, 2, 3), iou_thrs=[0.5, 0.9])
    metric.dataset_meta = dict(classes=CLASSES, dataset_type='VOC2007')
    metric.process({}, [image])
    recalls = metric.evaluate(1)
    wanted = {1: 0.5, 2: 0.5, 3: 1.0}  # the best one is the dog, the third the cat
    for number, recall in wanted.items():
        assert recalls[f'pascal_voc/recall@{number}@0.5'] == recall
        assert recalls[f'pascal_voc/recall@{number}@0.9'] == recall
        assert recalls[f'pascal_voc/AR@{number}'] == recall


def test_recall_of_the_first_class_alone_is_that_of_mmdet():
    def evaluate_cats(metric):
        metric.dataset_meta = dict(classes=CLASSES, dataset_type='VOC2007')
        image = one_image()
        image['gt_instances']['labels'] = torch.tensor([0, 0])
        metric.process({}, [image])
        return metric.evaluate(1)

    ours, theirs = (evaluate_cats(kind(metric='recall')) for kind in (VOCDevkitMetric, VOCMetric))
    assert ours == theirs
    assert ours['pascal_voc/recall@100@0.5'] == 0.5


def test_recall_without_objects_is_zero():
    image = one_image()
    image['gt_instances'] = dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    metric = VOCDevkitMetric(metric='recall', proposal_nums=(1,))
    metric.dataset_meta = dict(classes=CLASSES, dataset_type='VOC2007')
    metric.process({}, [image])
    assert metric.evaluate(1) == {'pascal_voc/recall@1@0.5': 0.0}


@pytest.mark.parametrize('config', [CONFIGS / 'faster_rcnn_nst_voc.py', DEMO['nst_student']])
def test_the_voc_configs_use_the_voc_metric(config):
    cfg = Config.fromfile(config)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        assert isinstance(metric, VOCDevkitMetric) and metric.eval_mode == '11points'

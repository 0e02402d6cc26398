"""Evaluation: AP by VOC and COCO, the error of classifiers, tests of gains, reading results."""

from .functional.coco_ap import CocoAP, coco_ap
from .functional.mean_ap import eval_voc_map
from .functional.paired_test import PairedGain, paired_gain
from .metrics.classification_error import ClassificationError
from .metrics.coco_metric import CocoDetectionMetric
from .metrics.voc_metric import VOCDevkitMetric
from .results import Metric, Results, read_results

__all__ = [
    'ClassificationError',
    'CocoAP',
    'CocoDetectionMetric',
    'Metric',
    'PairedGain',
    'Results',
    'VOCDevkitMetric',
    'coco_ap',
    'eval_voc_map',
    'paired_gain',
    'read_results',
]

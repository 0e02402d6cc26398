"""Evaluation: AP by the protocol of VOC, paired tests of gains, and the reader of results."""

from .functional.mean_ap import eval_voc_map
from .functional.paired_test import PairedGain, paired_gain
from .metrics.voc_metric import VOCDevkitMetric
from .results import Metric, Results, read_results

__all__ = [
    'Metric',
    'PairedGain',
    'Results',
    'VOCDevkitMetric',
    'eval_voc_map',
    'paired_gain',
    'read_results',
]

"""What is measured: AP by VOC's protocol, and how sure a gain is."""

from .functional.mean_ap import eval_voc_map
from .functional.paired_test import PairedGain, paired_gain
from .metrics.voc_metric import VOCDevkitMetric

__all__ = ['PairedGain', 'VOCDevkitMetric', 'eval_voc_map', 'paired_gain']

"""What is measured: AP by VOC's protocol, and how sure a gain is."""

from .paired_gain import PairedGain, paired_gain
from .voc_average_precision import eval_voc_map
from .voc_devkit_metric import VOCDevkitMetric

__all__ = ['PairedGain', 'VOCDevkitMetric', 'eval_voc_map', 'paired_gain']

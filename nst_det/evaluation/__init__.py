"""What is measured."""

from .voc_average_precision import eval_voc_map
from .voc_devkit_metric import VOCDevkitMetric

__all__ = ['VOCDevkitMetric', 'eval_voc_map']

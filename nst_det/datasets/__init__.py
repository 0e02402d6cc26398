"""Data sets: VOC devkits and their images, drawn shapes, and handwritten digits."""

from .digits import DigitsDataset
from .fixed_views import FixedViews
from .shape_pictures import SHAPE_CLASSES
from .shapes_devkit import make_shapes_devkit
from .transforms import LoadVerifiedImage
from .voc_check import check_devkit
from .voc_devkit import VOCDevkitDataset
from .voc_download import prepare_devkit

__all__ = [
    'SHAPE_CLASSES',
    'DigitsDataset',
    'FixedViews',
    'LoadVerifiedImage',
    'VOCDevkitDataset',
    'check_devkit',
    'make_shapes_devkit',
    'prepare_devkit',
]

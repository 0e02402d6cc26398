"""Data sets: VOC devkits and drawn shapes; CIFAR, ImageNet and digits for classifiers."""

from .cifar import CIFAR10Dataset, CIFAR100Dataset
from .digits import DigitsDataset
from .fixed_views import FixedViews
from .imagenet import ImageNetDataset
from .shape_pictures import SHAPE_CLASSES
from .shapes_devkit import make_shapes_devkit
from .transforms import LoadVerifiedImage
from .voc_check import check_devkit
from .voc_devkit import VOCDevkitDataset
from .voc_download import prepare_devkit

__all__ = [
    'SHAPE_CLASSES',
    'CIFAR10Dataset',
    'CIFAR100Dataset',
    'DigitsDataset',
    'FixedViews',
    'ImageNetDataset',
    'LoadVerifiedImage',
    'VOCDevkitDataset',
    'check_devkit',
    'make_shapes_devkit',
    'prepare_devkit',
]

from .backbones import InceptionBN
from .distillers import NSTDistiller
from .losses import GaussianKernel, Kernel, LinearKernel, NSTLoss, PolynomialKernel
from .shared_heads import InceptionBNTail

__all__ = [
    'GaussianKernel',
    'InceptionBN',
    'InceptionBNTail',
    'Kernel',
    'LinearKernel',
    'NSTDistiller',
    'NSTLoss',
    'PolynomialKernel',
]

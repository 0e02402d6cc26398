from .backbones import InceptionBN, TIMMBackbone
from .distillers import NSTDistiller
from .losses import (
    ATLoss,
    ConvConnector,
    FitNetLoss,
    GaussianKernel,
    KDLoss,
    Kernel,
    LinearKernel,
    MLPConnector,
    NSTLoss,
    PolynomialKernel,
)
from .roi_heads import InceptionBNTail

__all__ = [
    'ATLoss',
    'ConvConnector',
    'FitNetLoss',
    'GaussianKernel',
    'InceptionBN',
    'InceptionBNTail',
    'KDLoss',
    'Kernel',
    'LinearKernel',
    'MLPConnector',
    'NSTDistiller',
    'NSTLoss',
    'PolynomialKernel',
    'TIMMBackbone',
]

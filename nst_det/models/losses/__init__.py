from .at_loss import ATLoss, attention_distance, attention_pattern
from .base import FeatureLoss, LogitLoss, TransferLoss, loss_classes
from .connectors import Connector, ConvConnector, MLPConnector
from .fitnet_loss import FitNetLoss
from .kd_loss import KDLoss, kd_divergence
from .mmd.kernels import GaussianKernel, Kernel, LinearKernel, PolynomialKernel
from .mmd.mmd2 import mmd2
from .mmd.patterns import selectivity_patterns
from .nst_loss import NSTLoss, nst_mmd2

__all__ = [
    'ATLoss',
    'Connector',
    'ConvConnector',
    'FeatureLoss',
    'FitNetLoss',
    'GaussianKernel',
    'KDLoss',
    'Kernel',
    'LinearKernel',
    'LogitLoss',
    'MLPConnector',
    'NSTLoss',
    'PolynomialKernel',
    'TransferLoss',
    'attention_distance',
    'attention_pattern',
    'kd_divergence',
    'loss_classes',
    'mmd2',
    'nst_mmd2',
    'selectivity_patterns',
]

from .at_loss import ATLoss, attention_gap, attention_pattern
from .fitnet_loss import FitNetLoss
from .kd_loss import KDLoss, soft_divergence
from .kernels import GaussianKernel, Kernel, LinearKernel, PolynomialKernel
from .nst_loss import NSTLoss, nst_mmd2
from .patterns import selectivity_patterns
from .transfer_loss import MapLoss, TransferLoss

__all__ = [
    'ATLoss',
    'FitNetLoss',
    'GaussianKernel',
    'KDLoss',
    'Kernel',
    'LinearKernel',
    'MapLoss',
    'NSTLoss',
    'PolynomialKernel',
    'TransferLoss',
    'attention_gap',
    'attention_pattern',
    'nst_mmd2',
    'selectivity_patterns',
    'soft_divergence',
]

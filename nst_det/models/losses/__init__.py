from .kernels import GaussianKernel, Kernel, LinearKernel, PolynomialKernel
from .nst_loss import NSTLoss, nst_mmd2, selectivity_patterns

__all__ = [
    'GaussianKernel',
    'Kernel',
    'LinearKernel',
    'NSTLoss',
    'PolynomialKernel',
    'nst_mmd2',
    'selectivity_patterns',
]

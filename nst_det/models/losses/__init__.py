from .at_loss import ATLoss, attention_distance, attention_pattern
from .base import FeatureLoss, LogitLoss, TransferLoss, loss_classes
from .cka_loss import CKALoss, cka
from .connectors import Connector, ConvConnector, MLPConnector
from .cross_kd_loss import CrossKDLoss, quality_focal_divergence
from .cwd_loss import CWDLoss
from .fgd_loss import FGDLoss
from .fitnet_loss import FitNetLoss
from .kd_loss import KDLoss, kd_divergence
from .ld_loss import LDLoss
from .mgd_loss import MGDLoss
from .mmd.kernels import GaussianKernel, Kernel, LinearKernel, PolynomialKernel
from .mmd.mmd2 import mmd2
from .mmd.patterns import selectivity_patterns
from .nst_loss import NSTLoss, nst_mmd2
from .pkd_loss import PKDLoss
from .query_loss import MatchedQueryLoss, object_chance
from .rkd_loss import RKDLoss
from .sp_loss import SPLoss

__all__ = [
    'ATLoss',
    'CKALoss',
    'CWDLoss',
    'Connector',
    'ConvConnector',
    'CrossKDLoss',
    'FGDLoss',
    'FeatureLoss',
    'FitNetLoss',
    'GaussianKernel',
    'KDLoss',
    'Kernel',
    'LDLoss',
    'LinearKernel',
    'LogitLoss',
    'MGDLoss',
    'MLPConnector',
    'MatchedQueryLoss',
    'NSTLoss',
    'PKDLoss',
    'PolynomialKernel',
    'RKDLoss',
    'SPLoss',
    'TransferLoss',
    'attention_distance',
    'attention_pattern',
    'cka',
    'kd_divergence',
    'loss_classes',
    'mmd2',
    'nst_mmd2',
    'object_chance',
    'quality_focal_divergence',
    'selectivity_patterns',
]

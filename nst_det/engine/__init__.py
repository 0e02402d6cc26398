from .hooks import (
    CheckpointHook,
    DistSamplerSeedHook,
    EpochProgressHook,
    FiniteLossHook,
    PatternFigureHook,
    TransferWeightHook,
)
from .runner import EpochBasedTrainLoop

__all__ = [
    'CheckpointHook',
    'DistSamplerSeedHook',
    'EpochBasedTrainLoop',
    'EpochProgressHook',
    'FiniteLossHook',
    'PatternFigureHook',
    'TransferWeightHook',
]

from .hooks import (
    ChannelsLastHook,
    CheckpointHook,
    DistSamplerSeedHook,
    EpochProgressHook,
    FiniteLossHook,
    PatternFigureHook,
    TransferWeightHook,
)
from .runner import EpochBasedTrainLoop

__all__ = [
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'EpochBasedTrainLoop',
    'EpochProgressHook',
    'FiniteLossHook',
    'PatternFigureHook',
    'TransferWeightHook',
]

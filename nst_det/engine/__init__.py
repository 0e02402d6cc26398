from .hooks import (
    ChannelsLastHook,
    CheckpointHook,
    DistSamplerSeedHook,
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
    'FiniteLossHook',
    'PatternFigureHook',
    'TransferWeightHook',
]

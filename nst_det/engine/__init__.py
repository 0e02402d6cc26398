from .hooks import (
    ChannelsLastHook,
    CheckpointHook,
    DistSamplerSeedHook,
    FiniteLossHook,
    PatternFigureHook,
    TransferWeightHook,
)
from .runner import EpochBasedTrainLoop, LogProcessor

__all__ = [
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'EpochBasedTrainLoop',
    'FiniteLossHook',
    'LogProcessor',
    'PatternFigureHook',
    'TransferWeightHook',
]

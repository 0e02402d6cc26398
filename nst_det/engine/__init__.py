from .bfloat16_optim_wrapper import Bfloat16OptimWrapper
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
    'Bfloat16OptimWrapper',
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'EpochBasedTrainLoop',
    'FiniteLossHook',
    'LogProcessor',
    'PatternFigureHook',
    'TransferWeightHook',
]

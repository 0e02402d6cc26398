from .hooks import CheckpointHook, DistSamplerSeedHook, FiniteLossHook, TransferWeightHook
from .runner import EpochBasedTrainLoop

__all__ = [
    'CheckpointHook',
    'DistSamplerSeedHook',
    'EpochBasedTrainLoop',
    'FiniteLossHook',
    'TransferWeightHook',
]

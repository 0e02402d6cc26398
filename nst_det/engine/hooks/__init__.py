from .channels_last_hook import ChannelsLastHook
from .checkpoint_hook import CheckpointHook
from .finite_loss_hook import FiniteLossHook
from .pattern_figure_hook import PatternFigureHook
from .sampler_seed_hook import DistSamplerSeedHook
from .transfer_weight_hook import TransferWeightHook

__all__ = [
    'ChannelsLastHook',
    'CheckpointHook',
    'DistSamplerSeedHook',
    'FiniteLossHook',
    'PatternFigureHook',
    'TransferWeightHook',
]

from .checkpoint_hook import CheckpointHook
from .finite_loss_hook import FiniteLossHook
from .sampler_seed_hook import DistSamplerSeedHook
from .transfer_weight_hook import TransferWeightHook

__all__ = ['CheckpointHook', 'DistSamplerSeedHook', 'FiniteLossHook', 'TransferWeightHook']

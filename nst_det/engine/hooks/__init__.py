from .finite_loss_hook import FiniteLossHook
from .transfer_weight_hook import TransferWeightHook

__all__ = ['FiniteLossHook', 'TransferWeightHook']

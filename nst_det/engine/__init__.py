from .hooks import FiniteLossHook, TransferWeightHook

__all__ = ['FiniteLossHook', 'TransferWeightHook']

from .hooks import FiniteLossHook

__all__ = ['FiniteLossHook']

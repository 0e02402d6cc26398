from .nst_distiller import NSTDistiller

__all__ = ['NSTDistiller']

from .backbone import TIMMBackbone

__all__ = ['TIMMBackbone']

from .shared_heads import InceptionBNTail

__all__ = ['InceptionBNTail']

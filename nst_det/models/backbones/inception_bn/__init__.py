from .backbone import InceptionBN

__all__ = ['InceptionBN']

"""Backbones."""

from .inception_bn import InceptionBN

__all__ = ['InceptionBN']

"""Shared heads, which a RoI head runs on each RoI before its box head."""

from .inception_bn_tail import InceptionBNTail

__all__ = ['InceptionBNTail']

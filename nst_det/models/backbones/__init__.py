"""Backbones."""

from .inception_bn import InceptionBN
from .timm_backbone import TIMMBackbone

__all__ = ['InceptionBN', 'TIMMBackbone']

"""Backbones."""

from .inception_bn import InceptionBN, SmallInceptionBN
from .pre_activation_resnet import PreActivationResNet
from .timm_backbone import TIMMBackbone

__all__ = ['InceptionBN', 'PreActivationResNet', 'SmallInceptionBN', 'TIMMBackbone']

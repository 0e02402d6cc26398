from .backbone import InceptionBN
from .small_images import SmallInceptionBN

__all__ = ['InceptionBN', 'SmallInceptionBN']

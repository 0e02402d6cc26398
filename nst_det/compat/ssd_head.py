"""SSD that can predict.

The problem: the prediction that mmdet 3.3's ``SSDHead`` inherits reads ``loss_cls``, which this
head does not have. So training works, and the first validation ends with an AttributeError.

The answer: the head has a ``loss_cls`` of None, which stands for no activation of its own.

It can go when mmdet's ``SSDHead`` predicts.
"""

from mmdet.models import SSDHead


def apply() -> None:
    """Give ``SSDHead`` the attribute, unless it has one."""
    if not hasattr(SSDHead, 'loss_cls'):
        SSDHead.loss_cls = None

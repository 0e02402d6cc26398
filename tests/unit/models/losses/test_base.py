"""A loss of a user's own beside the built-in ones."""

from mmdet.registry import MODELS

from nst_det.models.distillers.transfers.build import build_transfers
from nst_det.models.losses import FeatureLoss


class MeanLoss(FeatureLoss):
    """Compares the means of two maps."""

    method = 'mean'
    measure = 'distance'

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)

    def forward(self, student, teacher, mask=None):
        return self.loss_weight * (student.mean() - teacher.mean()).abs()


def test_a_loss_of_ones_own_is_a_transfer_by_its_name():
    MODELS.register_module(module=MeanLoss, force=True)
    try:
        (transfer,) = build_transfers([dict(layer='neck[1]', loss=dict(type='MeanLoss'))])
    finally:
        MODELS.module_dict.pop('MeanLoss')
    assert transfer.name == 'loss_mean_neck_1'
    assert transfer.log_key == 'distance_mean_neck_1'

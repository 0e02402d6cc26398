"""What every loss tells about itself, and a loss of a user's own beside the built-in ones."""

import math

import pytest
import torch
from mmdet.registry import MODELS

from nst_det.errors import UserError
from nst_det.models.distillers.transfers.build import build_transfers
from nst_det.models.losses import (
    ATLoss,
    CKALoss,
    CWDLoss,
    FeatureLoss,
    FGDLoss,
    FitNetLoss,
    KDLoss,
    LogitLoss,
    MGDLoss,
    NSTLoss,
    PKDLoss,
    RKDLoss,
    SPLoss,
    TransferLoss,
    loss_classes,
)

FEATURE_LOSSES = [NSTLoss, ATLoss, FitNetLoss, CWDLoss, PKDLoss, MGDLoss, FGDLoss]
FEATURE_LOSSES += [CKALoss, SPLoss, RKDLoss]
BUILT_IN = [*FEATURE_LOSSES, KDLoss]


class MeanLoss(FeatureLoss):
    """Compares the means of two feature maps."""

    method = 'mean'
    measure = 'difference'

    def distance(self, student, teacher, mask):
        return (student.mean((1, 2, 3)) - teacher.mean((1, 2, 3))).abs()


@pytest.fixture
def registered():
    MODELS.register_module(module=MeanLoss, force=True)
    yield
    MODELS.module_dict.pop('MeanLoss')


def test_a_loss_of_a_users_own_is_a_transfer_named_after_it(registered):
    loss = dict(type='MeanLoss', loss_weight=2.0)
    (transfer,) = build_transfers([dict(layer='neck[1]', loss=loss)])
    assert transfer.name == 'loss_mean_neck_1'
    assert transfer.log_key == 'difference_mean_neck_1'


def test_a_loss_of_a_users_own_is_the_weighted_mean_of_its_distance():
    student, teacher = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 8, 8)
    smaller = torch.nn.functional.interpolate(teacher, (4, 4), mode='bilinear')
    expected = 2 * (student.mean((1, 2, 3)) - smaller.mean((1, 2, 3))).abs().mean()
    torch.testing.assert_close(MeanLoss(2.0)(student, teacher), expected)


def test_a_loss_of_a_users_own_takes_a_connector():
    loss = MeanLoss(2.0, connector=dict(type='ConvConnector'))
    loss.connect(3, 5)
    student, teacher = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)
    converted = loss.connector.layer(student)
    expected = 2 * (converted.mean((1, 2, 3)) - teacher.mean((1, 2, 3))).abs().mean()
    torch.testing.assert_close(loss(student, teacher), expected)


def test_the_distance_gets_float32_feature_maps_of_one_size_that_are_zero_outside_the_mask():
    class Recording(MeanLoss):
        def distance(self, student, teacher, mask):
            self.received = student, teacher, mask
            return super().distance(student, teacher, mask)

    loss = Recording(1.0)
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    loss(torch.ones(1, 2, 4, 4).bfloat16(), torch.ones(1, 3, 8, 8).half(), mask)
    student, teacher, received_mask = loss.received
    assert student.dtype == teacher.dtype == torch.float32
    assert student.shape[2:] == teacher.shape[2:] == (4, 4)
    assert student.sum() == 2 * mask.sum() and teacher.sum() == 3 * mask.sum()
    assert received_mask is mask


@pytest.mark.parametrize('loss_class', BUILT_IN)
def test_a_loss_tells_what_it_measures(loss_class):
    texts = [loss_class.title, loss_class.unit, loss_class.meaning]
    own = vars(loss_class).keys()
    assert own >= {'method', 'measure', 'title', 'unit', 'meaning'}
    assert all(text and '\n' not in text for text in texts)
    assert loss_class.measure.isidentifier() and loss_class.method.isidentifier()


def test_the_measures_of_the_built_in_losses_differ():
    assert len({loss_class.measure for loss_class in BUILT_IN}) == len(BUILT_IN)
    assert len({loss_class.method for loss_class in BUILT_IN}) == len(BUILT_IN)
    assert [loss.measure for loss in BUILT_IN[:3]] == ['mmd2', 'distance', 'mse']


def test_a_loss_tells_what_it_compares():
    assert {loss.compares for loss in (*FEATURE_LOSSES, MeanLoss)} == {'features'}
    assert KDLoss.compares == LogitLoss.compares == 'logits'


def test_only_a_loss_with_a_connector_needs_channels():
    assert FitNetLoss().needs_channels
    assert not any(loss_class().needs_channels for loss_class in (NSTLoss, ATLoss, KDLoss))


@pytest.mark.parametrize('loss_class', [NSTLoss, ATLoss, KDLoss])
def test_connecting_a_loss_without_a_connector_changes_nothing(loss_class):
    loss = loss_class()
    loss.connect(3, 5)
    assert not loss.state_dict()


def test_the_registered_losses_include_those_of_the_user(registered):
    classes = loss_classes()
    assert {*BUILT_IN, MeanLoss} <= {*classes}
    assert all(issubclass(loss_class, TransferLoss) for loss_class in classes)


def test_an_unregistered_loss_is_not_listed():
    assert MeanLoss not in loss_classes()


@pytest.mark.parametrize('loss_class', [*BUILT_IN, MeanLoss])
@pytest.mark.parametrize('weight', [-1, '5', None, True, math.nan, math.inf, 10**400])
def test_a_wrong_loss_weight_is_refused_by_every_loss(loss_class, weight):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        loss_class(loss_weight=weight)
    assert error.value.option == 'loss_weight'

"""The weights of the trained losses are saved and resumed with the message hub."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub

from nst_det.errors import UserError
from nst_det.models.distillers.trained_losses import TrainedLosses
from nst_det.models.losses import FitNetLoss


@pytest.fixture
def hub():
    return MessageHub('training')


def trained(teacher_channels=3):
    losses = TrainedLosses()
    losses['loss_fitnet'] = FitNetLoss()
    losses['loss_fitnet'].connect(2, teacher_channels)
    return losses


def saved(hub):
    """The hub's information as a checkpoint holds it."""
    return copy.deepcopy(hub.runtime_info)


def test_a_checkpoint_holds_the_weights_of_the_moment_it_was_saved(hub):
    losses = trained()
    losses.follow(hub)
    (early,) = saved(hub).values()
    first = {key: value.clone() for key, value in losses.state_dict().items()}
    for value in losses.parameters():
        value.data += 1
    (late,) = saved(hub).values()
    for key, value in first.items():
        assert torch.equal(early[key], value)
        assert torch.equal(late[key], value + 1)


def test_a_resumed_training_loads_the_weights_of_its_checkpoint(hub):
    before, after = trained(), trained()
    before.follow(hub)
    hub.runtime_info.update(saved(hub))
    after.follow(hub)
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value)


def test_a_checkpoint_of_another_connector_is_refused(hub):
    trained().follow(hub)
    hub.runtime_info.update(saved(hub))
    with pytest.raises(
        UserError, match='resume with the config that the training was started with'
    ):
        trained(teacher_channels=4).follow(hub)


def test_losses_without_parameters_save_nothing(hub):
    TrainedLosses().follow(hub)
    assert not saved(hub)

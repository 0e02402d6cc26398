"""A weight that the config leaves open is measured in the first iterations, and then kept."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import MessageHub

from nst_det.errors import UserError
from nst_det.models.losses import NSTLoss

LAYER, LOG = 'backbone.inception_4b', 'backbone_inception_4b'
NST = f'loss_nst_{LOG}'


@pytest.fixture
def distiller(tiny_distiller):
    def build(weight='auto', **options):
        torch.manual_seed(0)
        cfg = tiny_distiller(**options)
        cfg.model.monitor_interval = 1
        cfg.model.transfers[0].loss.loss_weight = weight
        model = MODELS.build(cfg.model)
        model.init_weights()
        return model

    return build


def losses(model, data, iteration=0):
    MessageHub.get_current_instance().update_info('iter', iteration)
    torch.manual_seed(iteration)
    return model(**copy.deepcopy(data), mode='loss')


def test_the_gradient_has_the_wanted_ratio_from_the_first_iteration_on(distiller, padded_batch):
    model = distiller(dict(ratio=3.0, iterations=4))

    first = losses(model, padded_batch(model))

    assert first[f'grad_ratio_{LOG}'].item() == pytest.approx(3.0, rel=1e-4)


def test_the_loss_is_the_weight_times_the_loss_at_one(distiller, padded_batch):
    auto, plain = distiller(dict(ratio=3.0)), distiller(1.0)
    data = padded_batch(auto)

    measured, at_one = losses(auto, data), losses(plain, data)

    weight = measured[f'weight_{LOG}'].item()
    assert weight == pytest.approx(3.0 / at_one[f'grad_ratio_{LOG}'].item(), rel=1e-4)
    torch.testing.assert_close(measured[NST], weight * at_one[NST], rtol=1e-4, atol=0)
    torch.testing.assert_close(measured[f'mmd2_{LOG}'], at_one[f'mmd2_{LOG}'])


def test_after_the_last_measured_iteration_the_weight_stays(distiller, padded_batch):
    model = distiller(dict(iterations=2))

    weights = [losses(model, padded_batch(model), i)[f'weight_{LOG}'].item() for i in range(4)]

    assert weights[0] != weights[1]
    assert weights[1:] == [weights[1]] * 3


def test_a_measured_weight_is_trained_as_if_it_had_been_given(distiller, padded_batch):
    auto = distiller(dict(iterations=1))
    data = padded_batch(auto)
    weight = losses(auto, data)[f'weight_{LOG}'].item()
    given = distiller(weight)

    for model in (auto, given):
        model.zero_grad()
        total, _ = model.parse_losses(losses(model, data, 1))
        total.backward()

    pairs = zip(auto.parameters(), given.parameters(), strict=True)
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-8)


def test_a_resumed_training_goes_on_with_the_weight(distiller, padded_batch):
    before, after = distiller(dict(iterations=2)), distiller(dict(iterations=2))
    data, hub = padded_batch(before), MessageHub.get_current_instance()
    for i in range(2):
        measured = losses(before, data, i)
    hub.runtime_info.update(copy.deepcopy(hub.runtime_info))  # as from a checkpoint

    resumed = losses(after, padded_batch(after), 2)

    assert torch.equal(resumed[f'weight_{LOG}'], measured[f'weight_{LOG}'])


def test_a_training_that_was_stopped_amid_the_measurement_measures_the_rest(
    distiller, padded_batch
):
    before, after = distiller(dict(iterations=3)), distiller(dict(iterations=3))
    data, hub = padded_batch(before), MessageHub.get_current_instance()
    uninterrupted = [losses(before, data, i)[f'weight_{LOG}'] for i in range(2)]
    hub.runtime_info.update(copy.deepcopy(hub.runtime_info))
    uninterrupted.append(losses(before, data, 2)[f'weight_{LOG}'])
    hub.runtime_info.clear()
    hub.update_info(
        'nst_det.auto_weights',
        {NST: dict(ratios=before.transfers[0].loss.auto_weight.ratios[:2])},
    )

    assert torch.equal(losses(after, data, 2)[f'weight_{LOG}'], uninterrupted[-1])


def test_the_checkpoint_holds_the_weight(distiller, padded_batch):
    model, hub = distiller('auto'), MessageHub.get_current_instance()
    weight = losses(model, padded_batch(model))[f'weight_{LOG}'].item()

    saved = copy.deepcopy(hub.runtime_info)['nst_det.auto_weights']

    assert saved[NST]['weight'] == pytest.approx(weight)
    assert saved[NST]['ratio'] == NSTLoss.target_ratio


def test_every_transfer_has_its_own_ratio(tiny_distiller, padded_batch):
    cfg = tiny_distiller().model
    cfg.monitor_interval = 1
    cfg.transfers = [
        dict(layer=LAYER, loss=dict(type='NSTLoss', loss_weight=dict(ratio=2.0))),
        dict(layer='backbone.inception_3b', loss=dict(type='ATLoss', loss_weight=dict(ratio=5.0))),
        dict(loss=dict(type='KDLoss', loss_weight='auto')),
        dict(layer='backbone.conv2', loss=dict(type='FitNetLoss', loss_weight=1.0)),
    ]
    model = MODELS.build(cfg)
    model.init_weights()

    logged = losses(model, padded_batch(model))

    ratios = [
        logged[f'grad_ratio_{name}'].item() for name in (LOG, 'at_backbone_inception_3b', 'kd')
    ]
    assert ratios == pytest.approx([2.0, 5.0, 1.0], rel=1e-3)
    assert [key for key in logged if key.startswith('weight_')] == [
        f'weight_{LOG}',
        'weight_at_backbone_inception_3b',
        'weight_kd',
    ]


def test_a_validation_measures_nothing(distiller, padded_batch):
    model = distiller('auto')

    with torch.no_grad():
        losses(model, padded_batch(model))

    assert model.transfers[0].loss.auto_weight.ratios == []


def test_a_loss_without_a_gradient_is_refused(distiller, padded_batch):
    model = distiller(dict(iterations=1))
    model.teachers.clear()
    data = padded_batch(model)
    model.transfers[0].compare = lambda tensors, *others: 0 * tensors[0].sum()

    with pytest.raises(UserError, match='has no gradient there'):
        losses(model, data)

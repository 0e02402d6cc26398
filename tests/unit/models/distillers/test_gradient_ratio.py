"""The gradient ratio of a transfer, and its place in the log of a distiller."""

import copy
import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch.utils.checkpoint import checkpoint

from nst_det.models.distillers.gradient_ratio import gradient_ratios
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.transfers.build import build_transfers
from nst_det.models.losses import PolynomialKernel, nst_mmd2

NAME = 'backbone_inception_4b'


def chain(*factors):
    """Maps m1 = a·x, m2 = b·m1, …, each tapped by one transfer, and a view of each."""
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    maps = []
    for factor in factors:
        maps.append((maps[-1] if maps else x) * factor)
    return x, [[value] for value in maps], [[value.view_as(value)] for value in maps]


def test_each_transfer_is_measured_alone_at_its_own_feature_map():
    _, maps, views = chain(2.0, 3.0)
    detection = 5 * maps[1][0].sum()
    transferred = 6 * views[0][0].sum() + 10 * views[1][0].sum()
    ratios = gradient_ratios(detection, maps, transferred, views)
    assert [ratio.item() for ratio in ratios] == pytest.approx([6 / 15, 10 / 5])


def test_two_transfers_at_one_feature_map_are_measured_apart():
    _, ([tensor],), _ = chain(1.0)
    views = [[tensor.view_as(tensor)], [tensor.view_as(tensor)]]
    transferred = 2 * views[0][0].sum() + 3 * views[1][0].sum()
    ratios = gradient_ratios(tensor.sum(), [[tensor], [tensor]], transferred, views)
    assert [ratio.item() for ratio in ratios] == [2, 3]


@pytest.mark.parametrize(('share', 'starved'), [(1e-3, False), (1e-8, True)])
def test_a_feature_map_on_which_detection_hardly_depends_has_an_infinite_ratio(share, starved):
    _, maps, views = chain(2.0, 3.0)
    detection = maps[0][0].sum() + share * maps[1][0].sum()
    ratios = gradient_ratios(detection, maps[1:], views[1][0].sum(), views[1:])
    assert [ratio.isinf().item() for ratio in ratios] == [starved]


def test_a_feature_map_that_detection_does_not_read_has_an_infinite_ratio():
    _, maps, views = chain(1.0, 1.0)
    assert gradient_ratios(maps[0][0].sum(), maps[1:], views[1][0].sum(), views[1:]) == [math.inf]


def test_no_gradient_is_left_and_the_graph_serves_the_backward_pass():
    x, maps, views = chain(2.0)
    loss = maps[0][0].square().sum() + views[0][0].square().sum()
    gradient_ratios(maps[0][0].square().sum(), maps, views[0][0].square().sum(), views)
    assert x.grad is None
    loss.backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 16.0))


@pytest.mark.parametrize('derivative', [1e-9, 1.0])
def test_a_gradient_too_small_or_a_norm_too_large_for_half_precision_is_measured(derivative):
    x = torch.ones(1, 1, 32, 32, dtype=torch.half, requires_grad=True)
    tensor = x * 1
    view = tensor.view_as(tensor)
    losses = [derivative * value.float().sum() for value in (tensor, view)]
    ratio = gradient_ratios(losses[0], [[tensor]], losses[1], [[view]])
    assert ratio == [pytest.approx(1, rel=1e-3)]


def test_reentrant_checkpointing_prevents_the_ratio_and_not_the_training():
    x, maps, views = chain(2.0)
    detection = checkpoint(torch.square, maps[0][0], use_reentrant=True).sum()
    with pytest.warns(UserWarning, match='with_cp=True'):
        assert math.isnan(gradient_ratios(detection, maps, views[0][0].sum(), views)[0])
    detection.backward()
    assert x.grad is not None


def test_other_checkpointing_does_not_change_the_ratio():
    x, maps, views = chain(2.0)
    detection = checkpoint(torch.square, maps[0][0], use_reentrant=False).sum()
    assert gradient_ratios(detection, maps, views[0][0].sum(), views)[0] == 0.25
    detection.backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 8.0))


# In a distiller.


@pytest.fixture
def distiller(tiny_distiller):
    torch.manual_seed(0)
    model = MODELS.build(tiny_distiller().model)
    model.init_weights()
    return model.train()


@pytest.fixture
def data(distiller, tiny_config):
    loader = Runner.build_dataloader(tiny_config('student').val_dataloader)
    return distiller.data_preprocessor(next(iter(loader)), True)


@pytest.fixture
def hub():
    """The message hub of the training, in which the distiller finds the iteration."""
    hub = MessageHub.get_current_instance()
    yield hub
    hub.runtime_info.pop('iter', None)


def losses_of(model, data):
    torch.manual_seed(0)
    return model(**copy.deepcopy(data), mode='loss')


def test_a_distiller_logs_mmd2_and_the_ratio_of_what_backward_gives(distiller, data):
    losses = losses_of(distiller, data)
    tap = distiller.transfers[0].student_tap
    with record(distiller.student, [tap], 'student') as tensors:
        detection_losses = losses_of(distiller.student, data)
    tensors[0].retain_grad()
    distiller.parse_losses(detection_losses)[0].backward()
    teacher_output = distiller.open_teacher()(
        data['inputs'], data['data_samples'], distiller.data_preprocessor, [tap]
    )
    leaf = tensors[0].detach().requires_grad_()
    teacher_map = teacher_output.feature_maps[tap]
    mmd2 = nst_mmd2(leaf, teacher_map, PolynomialKernel()).mean()
    (25 * mmd2).backward()  # λ/2
    torch.testing.assert_close(losses[f'mmd2_{NAME}'], mmd2.detach())
    assert not losses[f'mmd2_{NAME}'].requires_grad
    expected = leaf.grad.norm() / tensors[0].grad.norm()
    torch.testing.assert_close(losses[f'grad_ratio_{NAME}'], expected)


def test_values_for_the_log_are_no_part_of_the_total_loss(distiller, data):
    losses = losses_of(distiller, data)
    logged = [name for name in losses if name.startswith(('mmd2', 'grad_ratio'))]
    assert len(logged) == 2
    total, _ = distiller.parse_losses(losses)
    for name in logged:
        losses.pop(name)
    assert torch.equal(total, distiller.parse_losses(losses)[0])


def test_a_layer_named_after_a_loss_is_no_part_of_the_total_loss():
    (transfer,) = build_transfers([dict(layer='neck.gloss', loss=dict(type='NSTLoss'))])
    assert transfer.name == 'loss_nst_neck_gloss'
    assert transfer.log_name == 'neck_gLoss'


def test_the_ratio_is_measured_at_its_interval_from_the_first_iteration_on(distiller, data, hub):
    for interval, iterations in [(0, []), (1, [0, 1, 2]), (2, [0, 2]), (50, [0])]:
        distiller.monitor_interval = interval
        measured = []
        for iteration in range(3):
            hub.update_info('iter', iteration)
            losses = losses_of(distiller, data)
            assert f'mmd2_{NAME}' in losses
            if f'grad_ratio_{NAME}' in losses:
                measured.append(iteration)
        assert measured == iterations


def test_a_transfer_of_weight_zero_is_not_measured(distiller, data):
    distiller.transfers[0].loss.loss_weight = 0.0
    losses = losses_of(distiller, data)
    assert losses
    assert not [name for name in losses if name.startswith(('mmd2', 'grad_ratio'))]


def test_the_ratio_under_autocast_is_that_of_full_precision(distiller, data):
    expected = losses_of(distiller, data)[f'grad_ratio_{NAME}']
    with torch.autocast('cpu', torch.bfloat16):
        ratio = losses_of(distiller, data)[f'grad_ratio_{NAME}']
    assert ratio.dtype == torch.float32
    torch.testing.assert_close(ratio, expected, rtol=0.3, atol=0)

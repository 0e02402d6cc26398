"""The ratio of a transfer's gradient to the detection losses', and that it is only measured."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import Runner
from torch.utils.checkpoint import checkpoint

from nst_det.errors import UserError
from nst_det.models.distillers.gradient_ratio import gradient_ratios
from nst_det.models.distillers.taps.recorder import record
from nst_det.models.distillers.transfers.build import build_transfers
from nst_det.models.losses import PolynomialKernel, nst_mmd2

LABEL = 'backbone_inception_4b'


def chain(*factors):
    """Maps m1 = a·x, m2 = b·m1, …, each tapped by one transfer, and a view of each."""
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    maps = []
    for factor in factors:
        maps.append((maps[-1] if maps else x) * factor)
    return x, [[one] for one in maps], [[one.view_as(one)] for one in maps]


def test_each_transfer_is_weighed_alone_at_its_own_map():
    _, maps, seen = chain(2.0, 3.0)
    detection = 5 * maps[1][0].sum()
    transferred = 6 * seen[0][0].sum() + 10 * seen[1][0].sum()
    ratios = gradient_ratios(detection, maps, transferred, seen)
    assert [ratio.item() for ratio in ratios] == pytest.approx([6 / 15, 10 / 5])


def test_two_transfers_from_one_map_are_told_apart():
    _, ([one],), _ = chain(1.0)
    seen = [[one.view_as(one)], [one.view_as(one)]]
    transferred = 2 * seen[0][0].sum() + 3 * seen[1][0].sum()
    ratios = gradient_ratios(one.sum(), [[one], [one]], transferred, seen)
    assert [ratio.item() for ratio in ratios] == [2, 3]


def test_a_map_that_detection_does_not_read_has_an_infinite_ratio():
    _, maps, seen = chain(1.0, 1.0)
    assert gradient_ratios(maps[0][0].sum(), maps[1:], seen[1][0].sum(), seen[1:]) == [math.inf]


def test_no_gradient_is_left_and_the_graph_serves_the_backward_pass():
    x, maps, seen = chain(2.0)
    loss = maps[0][0].square().sum() + seen[0][0].square().sum()
    gradient_ratios(maps[0][0].square().sum(), maps, seen[0][0].square().sum(), seen)
    assert x.grad is None
    loss.backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 16.0))


@pytest.mark.parametrize('slope', [1e-9, 1.0])
def test_a_gradient_too_small_or_a_norm_too_large_for_half_precision_is_measured(slope):
    x = torch.ones(1, 1, 32, 32, dtype=torch.half, requires_grad=True)
    one = x * 1
    seen = one.view_as(one)
    losses = [slope * each.float().sum() for each in (one, seen)]
    ratio = gradient_ratios(losses[0], [[one]], losses[1], [[seen]])
    assert ratio == [pytest.approx(1, rel=1e-3)]


def test_reentrant_checkpointing_costs_the_reading_and_not_the_training():
    x, maps, seen = chain(2.0)
    detection = checkpoint(lambda one: one.square(), maps[0][0], use_reentrant=True).sum()
    with pytest.warns(UserWarning, match='with_cp=True'):
        assert math.isnan(gradient_ratios(detection, maps, seen[0][0].sum(), seen)[0])
    detection.backward()
    assert x.grad is not None


def test_other_checkpointing_is_measured_as_ever():
    x, maps, seen = chain(2.0)
    detection = checkpoint(lambda one: one.square(), maps[0][0], use_reentrant=False).sum()
    assert gradient_ratios(detection, maps, seen[0][0].sum(), seen)[0] == 0.25
    detection.backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 8.0))


# In a distiller.


def run(cfg, **changes):
    cfg.merge_from_dict(changes)
    cfg.train_cfg.val_interval = 100
    runner = Runner.from_cfg(cfg)
    runner.train()  # 2 epochs of 2 iterations
    return runner


def batch(runner):
    loader = runner.build_dataloader(runner.cfg.val_dataloader)
    return runner.model.data_preprocessor(next(iter(loader)), True)


def losses_of(model, data, seed=0):
    torch.manual_seed(seed)
    return model(**data, mode='loss')


@pytest.fixture
def runner(tiny_distiller):
    cfg = tiny_distiller()
    cfg.experiment_name = cfg.work_dir  # by which mmengine keeps the number of the iteration
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    return runner


def test_the_readings_are_mmd2_and_the_ratio_of_what_backward_brings(runner):
    model, data = runner.model, batch(runner)
    losses = losses_of(model, data)
    tap = model.transfers[0].student_tap
    with record(model.student, [tap], 'student') as maps:
        own = losses_of(model.student, data)
    maps[0].retain_grad()
    model.parse_losses(own)[0].backward()
    teacher_output = model.open_teacher()(
        data['inputs'], data['data_samples'], model.data_preprocessor, [tap]
    )
    leaf = maps[0].detach().requires_grad_()
    mmd2 = nst_mmd2(leaf, teacher_output.feature_maps[tap], PolynomialKernel()).mean()
    (25 * mmd2).backward()  # λ/2
    torch.testing.assert_close(losses[f'mmd2_{LABEL}'], mmd2.detach())
    assert not losses[f'mmd2_{LABEL}'].requires_grad
    torch.testing.assert_close(
        losses[f'grad_ratio_{LABEL}'], leaf.grad.norm() / maps[0].grad.norm()
    )


def test_the_readings_are_no_part_of_the_total(runner):
    losses = losses_of(runner.model, batch(runner))
    readings = [name for name in losses if name.startswith(('mmd2', 'grad_ratio'))]
    assert len(readings) == 2
    total, _ = runner.model.parse_losses(losses)
    for name in readings:
        losses.pop(name)
    assert torch.equal(total, runner.model.parse_losses(losses)[0])


def test_a_layer_named_after_a_loss_is_no_part_of_the_total_either():
    (transfer,) = build_transfers([dict(layer='neck.gloss', loss=dict(type='NSTLoss'))])
    assert transfer.name == 'loss_nst_neck_gloss'
    assert transfer.log_name == 'neck_gLoss'


def test_monitoring_changes_no_weight(tiny_distiller):
    states = []
    for interval in (0, 1):
        cfg = tiny_distiller(work_dir=f'{tiny_distiller().work_dir}_{interval}')
        states.append(run(cfg, **{'model.monitor_interval': interval}).model.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_the_ratio_is_measured_at_its_interval_from_the_first_iteration_on(runner):
    model, data = runner.model, batch(runner)
    for interval, iterations in [(0, []), (1, [0, 1, 2, 3]), (3, [0, 3]), (50, [0])]:
        model.monitor_interval = interval
        measured = []
        for iteration in range(4):
            runner.message_hub.update_info('iter', iteration)
            losses = losses_of(model, data)
            assert f'mmd2_{LABEL}' in losses
            if f'grad_ratio_{LABEL}' in losses:
                measured.append(iteration)
        assert measured == iterations


def test_a_transfer_of_weight_zero_is_not_measured(runner):
    runner.model.transfers[0].loss.loss_weight = 0.0
    losses = losses_of(runner.model, batch(runner))
    assert not [name for name in losses if name.startswith(('mmd2', 'grad_ratio'))]


def test_autocast_measures_what_full_precision_does(runner):
    data = batch(runner)
    expected = losses_of(runner.model, data)[f'grad_ratio_{LABEL}']
    with torch.autocast('cpu', torch.bfloat16):
        ratio = losses_of(runner.model, data)[f'grad_ratio_{LABEL}']
    assert ratio.dtype == torch.float32
    torch.testing.assert_close(ratio, expected, rtol=0.3, atol=0)


def test_an_interval_that_is_no_count_is_one_clear_line(tiny_distiller):
    cfg = tiny_distiller()
    for interval in (-1, 2.5, True, '50', None):
        cfg.model.monitor_interval = interval
        with pytest.raises(UserError, match=r'^monitor_interval is .*, expected a whole [^\n]*$'):
            MODELS.build(cfg.model)

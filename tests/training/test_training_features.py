"""Accumulation, clipping, checkpointing, freezing, precision: a distillation stays the same."""

import copy
from collections.abc import Callable
from functools import partial
from unittest.mock import Mock

import pytest
import torch
from mmdet.models.backbones import resnet
from mmdet.registry import MODELS
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, set_random_seed, turn_on_activation_checkpointing
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nst_det.errors import UserError

LAYER = 'backbone.inception_4b'
INCEPTION = dict(type='InceptionBN', width=0.125, norm_eval=True)
RESNET = dict(
    type='ResNet', depth=18, base_channels=18, out_indices=(2,), norm_eval=True, frozen_stages=-1
)
SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))


def transfers(layer: str = LAYER) -> list[dict]:
    """Every loss of feature maps, one with parameters included."""
    tapped = [dict(student_layer=layer, teacher_layer=LAYER) for _ in range(3)]
    tapped[2]['teacher_layer'] = (
        'backbone.inception_3b'  # of other channels, so there is a connector
    )
    losses = [
        dict(type='NSTLoss', loss_weight=50.0),
        dict(type='ATLoss', loss_weight=10.0),
        dict(type='FitNetLoss', loss_weight=1.0),
    ]
    return [dict(one, loss=loss) for one, loss in zip(tapped, losses)]


@pytest.fixture
def batches(tiny_distiller) -> list[dict]:
    """The training images, two at a time."""
    cfg = tiny_distiller()
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.sampler.shuffle = False
    set_random_seed(0)  # of the flips
    return list(Runner.build_dataloader(cfg.train_dataloader, seed=0))


@pytest.fixture
def one_stage(dense_detector) -> Callable[..., dict]:
    """A distiller of one-stage detectors: ``one_stage(backbone, layer)``."""

    def make(backbone: dict, layer: str = LAYER) -> dict:
        return dict(
            type='NSTDistiller',
            student=dense_detector(backbone),
            teacher=dict(config=dense_detector(width=0.25), checkpoint='random'),
            transfers=transfers(layer),
            monitor_interval=0,
        )

    return make


@pytest.fixture
def two_stage(tiny_distiller, sample_everything) -> dict:
    """A distiller of Faster R-CNN whose losses are means over the images."""
    model = tiny_distiller().model
    sample_everything(model.student)
    model.transfers = [*transfers(), dict(loss=dict(type='KDLoss', loss_weight=0.5))]
    return model


def built(model: dict) -> nn.Module:
    """A distiller as its training begins."""
    torch.manual_seed(0)
    distiller = MODELS.build(copy.deepcopy(model))
    distiller.init_weights()
    return distiller.train()


def train(distiller: nn.Module, batches: list[dict], wrapper: dict = SGD) -> dict[str, Tensor]:
    """Train on batches; give the parameters, and the total loss of each batch."""
    optim_wrapper = build_optim_wrapper(distiller, copy.deepcopy(wrapper))
    optim_wrapper.initialize_count_status(distiller, 0, len(batches))
    losses = [
        distiller.train_step(copy.deepcopy(batch), optim_wrapper)['loss'] for batch in batches
    ]
    return {**weights(distiller), 'losses': torch.stack(losses)}


def weights(distiller: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in distiller.named_parameters()}


def check_close(one: dict[str, Tensor], other: dict[str, Tensor], **tolerances) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, **tolerances, msg=lambda said, name=name: f'{name}: {said}'
        )


def moved(start: dict[str, Tensor], end: dict[str, Tensor]) -> Tensor:
    """The change of the weights as one vector."""
    return torch.cat([(end[name] - value).flatten() for name, value in start.items()])


# Activation checkpointing: the backward pass runs the stages again, the tapped module included.


@pytest.mark.parametrize(
    ('layer', 'reentrant'),
    [
        ('backbone', True),
        ('backbone.layer2', True),
        ('backbone.layer3.0', True),
        ('backbone.layer3.0', False),
        ('backbone.layer3.0.conv2', False),
    ],
)
def test_activation_checkpointing_does_not_change_the_training(
    one_stage, batches, monkeypatch, layer, reentrant
):
    monkeypatch.setattr(resnet.cp, 'checkpoint', partial(checkpoint, use_reentrant=reentrant))
    ends = []
    for with_cp in (False, True):
        distiller = built(one_stage(dict(RESNET, with_cp=with_cp), layer))
        runs = Mock(return_value=None)
        distiller.backbone.layer3[0].conv2.register_forward_hook(runs)
        ends.append(train(distiller, batches))
        assert runs.call_count == len(batches) * (2 if with_cp else 1)
    check_close(*ends, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings('ignore:.*use_reentrant')
def test_a_tap_inside_reentrant_checkpointing_is_an_error(one_stage, batches):
    distiller = built(one_stage(dict(RESNET, with_cp=True), 'backbone.layer3.0.conv2'))
    with pytest.raises(UserError, match='has no effect: .*conv2.* reentrant activation check'):
        train(distiller, batches)


@pytest.mark.filterwarnings('ignore:.*use_reentrant')
def test_activation_checkpointing_of_mmengine_does_not_change_the_training(one_stage, batches):
    ends = []
    for layers in ([], [LAYER]):
        distiller = built(one_stage(INCEPTION))
        turn_on_activation_checkpointing(distiller, layers)
        ends.append(train(distiller, batches))
    check_close(*ends, rtol=1e-5, atol=1e-6)


# Gradients: accumulation, clipping, frozen stages.


def test_accumulating_two_half_batches_trains_as_the_complete_batch(two_stage, batches):
    def joined(*parts: dict) -> dict:
        return {key: [one for part in parts for one in part[key]] for key in parts[0]}

    whole, halves = built(two_stage), built(two_stage)
    ends = [
        train(whole, [joined(*batches[:2]), joined(*batches[2:])]),
        train(halves, batches, dict(SGD, accumulative_counts=2)),
    ]
    means = ends[1]['losses'].view(2, 2).mean(1)
    check_close(ends[0], {**ends[1], 'losses': means}, rtol=1e-4, atol=1e-5)


def test_clipping_scales_the_gradient_of_every_parameter(two_stage, batches):
    plain = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0))
    steps = []
    for most in (None, 0.5):
        distiller = built(two_stage)
        start = weights(distiller)
        clip = {} if most is None else dict(clip_grad=dict(max_norm=most))
        steps.append(moved(start, train(distiller, batches[:1], dict(plain, **clip))))
    assert any('connector' in name for name in start)
    torch.testing.assert_close(steps[1], steps[0] * 0.5 / steps[0].norm(), rtol=1e-3, atol=1e-6)


def test_frozen_stages_stay_and_do_not_change_the_others(one_stage, batches):
    ends = []
    for stages in (-1, 2):
        distiller = built(one_stage(dict(INCEPTION, frozen_stages=stages)))
        frozen = {k: v for k, v in weights(distiller).items() if k.startswith('backbone.conv')}
        ends.append(train(distiller, batches[:1]))
    assert frozen and all(torch.equal(ends[1][name], value) for name, value in frozen.items())
    assert not any(torch.equal(ends[0][name], ends[1][name]) for name in frozen if 'conv.w' in name)
    check_close(*({k: v for k, v in end.items() if k not in frozen} for end in ends))


# Batch norms and precision.


def test_synchronised_batch_norms_train_as_batch_norms(one_stage, batches):
    ends = []
    for synchronised in (False, True):
        distiller = built(one_stage(dict(INCEPTION, norm_eval=False)))
        if synchronised:
            distiller = convert_sync_batchnorm(distiller, 'torch')
        kinds = {
            type(one)
            for one in distiller.modules()
            if isinstance(one, nn.modules.batchnorm._BatchNorm)
        }
        assert kinds == {nn.SyncBatchNorm if synchronised else nn.BatchNorm2d}
        ends.append({**train(distiller, batches), **dict(distiller.named_buffers())})
        assert nn.SyncBatchNorm not in map(type, distiller.teacher.detector.modules())
    check_close(*ends)


@pytest.mark.parametrize(('dtype', 'tolerance'), [('bfloat16', 0.3), ('float16', 0.15)])
def test_mixed_precision_trains_nearly_as_full_precision(
    one_stage, batches, amp_on_cpu, dtype, tolerance
):
    ends, steps = [], []
    for options in ({}, dict(type='AmpOptimWrapper', dtype=dtype, loss_scale=512.0)):
        distiller = built(one_stage(INCEPTION))
        start = weights(distiller)
        slow = dict(SGD, optimizer=dict(type='SGD', lr=0.001, momentum=0.9))
        ends.append(train(distiller, batches, {**slow, **options}))
        steps.append(moved(start, ends[-1]))
    torch.testing.assert_close(ends[1]['losses'], ends[0]['losses'], rtol=0.03, atol=0)
    assert 0 < (steps[1] - steps[0]).norm() < tolerance * steps[0].norm()


def test_a_deterministic_training_ends_with_the_same_weights_twice(tiny_distiller, request):
    for undo in (
        lambda: torch.use_deterministic_algorithms(False),
        lambda: setattr(torch.backends.cudnn, 'deterministic', False),
    ):
        request.addfinalizer(undo)
    ends = []
    for name in ('first', 'second'):
        torch.manual_seed(len(ends))  # what was drawn before has no part in it
        cfg = tiny_distiller(randomness=dict(seed=3, deterministic=True))
        cfg.model.transfers = [*transfers(), dict(loss=dict(type='KDLoss'))]
        cfg.work_dir += name
        cfg.experiment_name = cfg.work_dir
        cfg.train_cfg.val_interval = 100
        runner = Runner.from_cfg(cfg)
        runner.train()
        assert torch.are_deterministic_algorithms_enabled()
        ends.append({**weights(runner.model), **dict(runner.model.named_buffers())})
    check_close(*ends, rtol=0, atol=0)

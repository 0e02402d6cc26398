"""Connectors: what they build, and how a loss uses them."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from nst_det.errors import UserError
from nst_det.models.losses import (
    ATLoss,
    Connector,
    ConvConnector,
    FitNetLoss,
    MLPConnector,
    NSTLoss,
    nst_mmd2,
)

LOSSES = [NSTLoss, ATLoss, FitNetLoss]


def feature_maps(student_channels=3, teacher_channels=5, size=(4, 6)):
    generator = torch.Generator().manual_seed(0)
    channels = student_channels, teacher_channels
    return [torch.randn(2, count, *size, generator=generator) for count in channels]


def mask_of(height, width):
    mask = torch.zeros(2, 1, 4, 6, dtype=torch.bool)
    mask[:, :, :height, :width] = True
    return mask


def connected(loss, student_channels=3, teacher_channels=5):
    loss.connect(student_channels, teacher_channels)
    nn.init.constant_(loss.connector.layer.bias, 2.0)
    return loss


def test_a_conv_connector_brings_a_feature_map_to_the_channels_of_the_teacher():
    for kernel_size in (1, 3):
        connector = ConvConnector(kernel_size)
        connector.connect(3, 5)
        assert connector.layer.kernel_size == (kernel_size, kernel_size)
        assert connector(torch.rand(2, 3, 4, 6), 5).shape == (2, 5, 4, 6)


def test_a_conv_connector_builds_nothing_for_equal_channels_unless_it_is_asked():
    plain, asked = ConvConnector(), ConvConnector(always=True)
    for connector in (plain, asked):
        connector.connect(3, 3)
    feature_map = torch.rand(1, 3, 2, 2)
    assert not list(plain.parameters()) and torch.equal(plain(feature_map, 3), feature_map)
    assert isinstance(asked.layer, nn.Conv2d)


def test_given_channels_are_connected_at_once():
    assert ConvConnector().needs_channels
    connector = ConvConnector(student_channels=2, teacher_channels=4)
    assert not connector.needs_channels and connector.layer.out_channels == 4


def test_a_norm_gives_each_channel_mean_0_and_variance_1_over_the_positions_that_count():
    torch.manual_seed(0)
    connector = ConvConnector(norm=True)
    connector.connect(3, 5)
    student, _ = feature_maps()
    noisy = student.clone()
    noisy[:, :, 3:], noisy[..., 4:] = 1e3, -1e3
    for found, rows in [
        (connector(student, 5), lambda converted: converted.movedim(1, -1).flatten(0, 2)),
        (
            connector(noisy, 5, mask_of(3, 4)),
            lambda c: c[:, :, :3, :4].movedim(1, -1).flatten(0, 2),
        ),
    ]:
        counted = rows(found)
        torch.testing.assert_close(counted.mean(0), torch.zeros(5), rtol=0, atol=1e-5)
        torch.testing.assert_close(counted.var(0, False), torch.ones(5), rtol=1e-2, atol=0)
    expected = connector(student[:, :, :3, :4], 5)
    found = connector(noisy, 5, mask_of(3, 4))
    torch.testing.assert_close(found[:, :, :3, :4], expected)
    assert not found[:, :, 3:].any() and not found[..., 4:].any()


def test_a_norm_convolves_between_equal_channels_too_and_keeps_its_statistics():
    connector = ConvConnector(norm=True, student_channels=3, teacher_channels=3)
    assert isinstance(connector.layer, nn.Conv2d)
    connector(feature_maps()[0], 3)
    assert connector.state_dict()['norm.running_mean'].any()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(connector)
    assert isinstance(converted.norm, nn.SyncBatchNorm)


@pytest.mark.parametrize('count', [0, 1])
def test_a_norm_of_fewer_than_two_positions_changes_no_statistics(count):
    loss = FitNetLoss(connector=dict(type='ConvConnector', norm=True))
    loss.connect(3, 5)
    before = loss.connector.norm.running_mean.clone()
    mask = torch.zeros(2, 1, 4, 6, dtype=torch.bool)
    mask[:1, :, :1, :count] = True
    loss(*feature_maps(), mask).backward()
    assert torch.equal(loss.connector.norm.running_mean, before)
    assert all(parameter.grad is not None for parameter in loss.parameters())


@pytest.mark.parametrize(('hidden', 'expected'), [(None, 5), (7, 7)])
def test_an_mlp_connector_is_two_matrices_with_a_relu_between_them(hidden, expected):
    connector = MLPConnector(hidden)
    connector.connect(3, 5)
    first, _, second = connector.layer
    assert first.out_channels == expected
    student, _ = feature_maps()
    position = student[1, :, 2, 3]
    inner = (first.weight[:, :, 0, 0] @ position + first.bias).clamp(min=0)
    torch.testing.assert_close(
        connector(student, 5)[1, :, 2, 3], second.weight[:, :, 0, 0] @ inner + second.bias
    )


@pytest.mark.parametrize(
    'connector', [dict(type='ConvConnector', norm=True), dict(type='MLPConnector')]
)
def test_positions_outside_the_mask_count_for_nothing_in_any_connector(connector):
    loss = FitNetLoss(connector=connector)
    loss.connect(3, 5)
    student, teacher = feature_maps()
    noisy = student.clone()
    noisy[:, :, 3:], noisy[..., 4:] = float('nan'), float('inf')
    expected = loss(student[:, :, :3, :4], teacher[:, :, :3, :4])
    torch.testing.assert_close(loss(noisy, teacher, mask_of(3, 4)), expected)
    assert all(p.grad is None for p in loss.parameters())
    loss(noisy, teacher, mask_of(3, 4)).backward()
    assert all(p.grad.isfinite().all() for p in loss.parameters())


@pytest.mark.parametrize('loss_class', LOSSES)
def test_any_feature_loss_takes_a_connector(loss_class):
    loss = loss_class(connector=dict(type='ConvConnector', kernel_size=3))
    assert loss.needs_channels
    loss.connect(3, 5)
    assert not loss.needs_channels
    student, teacher = feature_maps()
    loss(student, teacher).backward()
    assert {*loss.state_dict()} == {'connector.layer.weight', 'connector.layer.bias'}
    assert loss.connector.layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('loss_class', [NSTLoss, ATLoss])
def test_nst_and_at_have_no_connector_unless_they_are_given_one(loss_class):
    loss = loss_class()
    loss.connect(3, 5)
    assert loss.connector is None and not loss.needs_channels and not list(loss.parameters())


def test_nst_compares_the_converted_feature_map():
    loss = connected(NSTLoss(2.0, connector=dict(type='ConvConnector')))
    student, teacher = feature_maps()
    expected = nst_mmd2(loss.connector.layer(student), teacher, loss.kernel).mean()
    torch.testing.assert_close(loss(student, teacher), expected)
    assert not torch.isclose(expected, nst_mmd2(student, teacher, loss.kernel).mean())


@pytest.mark.parametrize('loss_class', LOSSES)
@pytest.mark.parametrize('kernel_size', [1, 3])
def test_positions_outside_the_mask_count_for_nothing_after_a_bias(loss_class, kernel_size):
    connector = dict(type='ConvConnector', kernel_size=kernel_size)
    loss = connected(loss_class(1.0, connector=connector))
    student, teacher = feature_maps()
    student.requires_grad_()
    inside = (..., slice(0, 3), slice(0, 4))
    expected = loss(student[inside], teacher[inside])
    (expected_gradient,) = torch.autograd.grad(expected, student)
    noisy = student.detach().clone()
    noisy[:, :, 3:], noisy[..., 4:] = float('nan'), float('inf')
    noisy.requires_grad_()
    found = loss(noisy, teacher, mask_of(3, 4))
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, noisy)
    torch.testing.assert_close(gradient, expected_gradient)


def test_a_connector_computes_in_float32_inside_autocast():
    loss = connected(FitNetLoss())
    student, teacher = feature_maps()
    expected = loss(student, teacher)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(student, teacher), expected)
        assert loss(student.bfloat16(), teacher).dtype == torch.float32


def test_a_connector_in_half_precision_takes_float32_feature_maps():
    loss = connected(FitNetLoss()).bfloat16()
    student, teacher = feature_maps()
    assert loss(student, teacher).dtype == torch.float32


def test_weights_that_no_optimizer_could_know_are_refused_every_time():
    loss = FitNetLoss()
    for _ in range(2):
        with pytest.raises(UserError, match='ConvConnector: its weights from 3 to 5 channels were'):
            loss(*feature_maps())
    assert loss.needs_channels


def test_feature_maps_of_other_channels_than_promised_are_refused():
    loss = FitNetLoss(connector=dict(type='ConvConnector', student_channels=2, teacher_channels=4))
    line = 'built for 2 student and 4 teacher channels, but the feature maps have 3 and 5'
    with pytest.raises(UserError, match=line):
        loss(*feature_maps())


@pytest.mark.parametrize(
    ('options', 'option', 'line'),
    [
        (dict(kernel_size=2), 'kernel_size', 'kernel_size is 2, expected an odd number'),
        (dict(kernel_size=0), 'kernel_size', 'expected a whole number from 1 to 31'),
        (dict(kernel_size=10**400), 'kernel_size', 'expected a whole number from 1 to 31'),
        (dict(always=1), 'always', 'always is 1, expected True or False'),
        (dict(norm='BN'), 'norm', "norm is 'BN', expected True or False"),
        (dict(student_channels=3), 'student_channels', 'student_channels is given alone: give'),
        (
            dict(student_channels=0, teacher_channels=2),
            'student_channels',
            'student_channels is 0, expected a whole number from 1 to 65536, or None',
        ),
        (
            dict(student_channels=2, teacher_channels=2.0),
            'teacher_channels',
            'teacher_channels is 2.0, expected',
        ),
        (
            dict(student_channels=10**400, teacher_channels=2),
            'student_channels',
            'expected a whole number from 1 to 65536',
        ),
    ],
)
def test_a_wrong_option_of_a_connector_is_one_clear_line(options, option, line):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        NSTLoss(connector=dict(type='ConvConnector', **options))
    assert error.value.option == f'connector.{option}'
    assert line in str(error.value)


@pytest.mark.parametrize('hidden', [0, 2.5, True])
def test_a_wrong_number_of_hidden_channels_is_one_clear_line(hidden):
    with pytest.raises(UserError, match='^[^\n]*or None for the teacher') as error:
        NSTLoss(connector=dict(type='MLPConnector', hidden_channels=hidden))
    assert error.value.option == 'connector.hidden_channels'


@pytest.mark.parametrize(
    ('connector', 'option'),
    [
        ('conv', 'connector'),
        (dict(type='Conv2d'), 'connector.type'),
        (dict(type='ConvConector'), 'connector.type'),
        (dict(type='ConvConnector', kernel=3), 'connector.kernel'),
    ],
)
def test_something_else_than_a_connector_is_refused(connector, option):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        FitNetLoss(connector=connector)
    assert error.value.option == option


class OwnConnector(Connector):
    """A connector of a user's own."""

    def __init__(self, wrong=False):
        super().__init__()
        self.wrong = wrong

    def build_layer(self, student_channels, teacher_channels):
        layer = nn.Conv2d(student_channels, teacher_channels - self.wrong, 1, bias=False)
        return nn.Sequential(layer, nn.ReLU())


@pytest.fixture
def registered():
    MODELS.register_module(module=OwnConnector, force=True)
    yield
    MODELS.module_dict.pop('OwnConnector')


def test_a_connector_of_a_users_own_is_named_in_a_config(registered):
    loss = NSTLoss(connector=dict(type='OwnConnector'))
    loss.connect(3, 5)
    student, teacher = feature_maps()
    expected = nst_mmd2(loss.connector.layer(student), teacher, loss.kernel).mean() * 25
    torch.testing.assert_close(loss(student, teacher), expected)


def test_a_connector_that_gives_other_channels_is_refused(registered):
    loss = NSTLoss(connector=dict(type='OwnConnector', wrong=True))
    loss.connect(3, 5)
    with pytest.raises(
        UserError, match=r'OwnConnector: its layer returns .* \(2, 4, 4, 6\), expected'
    ):
        loss(*feature_maps())

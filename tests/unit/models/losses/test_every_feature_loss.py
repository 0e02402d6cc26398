"""What holds for every loss between feature maps: masks, types, sizes and gradients."""

import pytest
import torch
from torch import nn

from nst_det.errors import UserError
from nst_det.models.losses import (
    ATLoss,
    CKALoss,
    CWDLoss,
    FGDLoss,
    FitNetLoss,
    MGDLoss,
    NSTLoss,
    PKDLoss,
    RKDLoss,
    SPLoss,
)

LOSSES = {
    'NST linear': lambda: NSTLoss(1.0, dict(type='LinearKernel')),
    'NST polynomial': NSTLoss,
    'NST Gaussian': lambda: NSTLoss(1.0, dict(type='GaussianKernel', sigma_squared=1.0)),
    'AT paper': lambda: ATLoss(1.0, 'paper'),
    'AT code': lambda: ATLoss(1.0, 'code'),
    'FitNet': FitNetLoss,
    'CWD': lambda: CWDLoss(1.0, temperature=2.0),
    'PKD paper': lambda: PKDLoss(1.0),
    'PKD code': lambda: PKDLoss(1.0, 'code'),
    'MGD': lambda: MGDLoss(1e-2, mask_ratio=0.0),
    'FGD': lambda: FGDLoss(1.0, 1.0, 0.5, 0.3, 0.2),
    'CKA': CKALoss,
    'SP': lambda: SPLoss(1.0),
    'RKD paper': lambda: RKDLoss(1.0, 2.0, 3.0, 'paper'),
    'RKD code': lambda: RKDLoss(1.0, 2.0, 3.0),
}
OF_THE_BATCH = {'PKD paper', 'PKD code', 'CKA', 'SP', 'RKD paper', 'RKD code'}
every_loss = pytest.mark.parametrize('name', LOSSES)


def build(name):
    """A loss, connected; the relation of FGD begins as no relation, so its weights are drawn."""
    torch.manual_seed(0)
    loss = LOSSES[name]()
    loss.connect(4, 4)
    for parameter in loss.parameters():
        nn.init.normal_(parameter, std=0.4)
    return loss.double()


def feature_maps(images=3, size=(4, 6)):
    """Positive feature maps, of as many channels, whose largest values differ."""
    generator = torch.Generator().manual_seed(0)
    shape = images, 4, *size
    return [torch.rand(shape, generator=generator, dtype=torch.float64) + 0.05 for _ in range(2)]


def boxes(images=3):
    return [torch.tensor([[0.5, 0.5, 2.5, 2.5], [1.0, 1.0, 4.0, 3.0]])] * images


def corner(images=3, height=3, width=4):
    mask = torch.zeros(images, 1, 4, 6, dtype=torch.bool)
    mask[:, :, :height, :width] = True
    return mask


@every_loss
def test_two_feature_maps_that_differ_have_a_loss_and_a_gradient(name):
    loss = build(name)
    student, teacher = feature_maps()
    value = loss(student.requires_grad_(), teacher, None, boxes())
    value.backward()
    assert value.ndim == 0 and value > 1e-6
    assert student.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in loss.parameters())


@every_loss
def test_the_positions_inside_the_mask_count_as_if_there_were_no_others(name):
    loss = build(name)
    student, teacher = feature_maps()
    inside = (..., slice(0, 3), slice(0, 4))
    expected = loss(student[inside], teacher[inside], None, boxes())
    noisy = [feature_map.clone() for feature_map in (student, teacher)]
    for feature_map in noisy:
        feature_map[:, :, 3:], feature_map[..., 4:] = float('nan'), float('inf')
    found = loss(noisy[0].requires_grad_(), noisy[1], corner(), boxes())
    torch.testing.assert_close(found, expected)
    found.backward()
    assert noisy[0].grad.isfinite().all() and not noisy[0].grad[:, :, 3:].any()


@every_loss
def test_an_image_without_a_position_that_counts_adds_nothing(name):
    loss = build(name)
    student, teacher = feature_maps()
    mask = corner()
    mask[1] = False
    found = loss(student.requires_grad_(), teacher, mask, boxes())
    found.backward()
    assert student.grad.isfinite().all() and not student.grad[1].any()
    others = loss(student[[0, 2]], teacher[[0, 2]], mask[[0, 2]], boxes(2))
    # SP takes the mean over the pairs of images; RKD compares three: see its own test.
    share = {'SP': 4 / 9}.get(name, 1 if name in OF_THE_BATCH else 2 / 3)
    torch.testing.assert_close(found, others * share, atol=1e-12, rtol=1e-6)


@every_loss
def test_without_any_position_that_counts_the_loss_is_0(name):
    loss = build(name)
    student, teacher = feature_maps()
    found = loss(student.requires_grad_(), teacher, torch.zeros_like(corner()), boxes())
    found.backward()
    assert found == 0 and not student.grad.any()


@every_loss
@pytest.mark.parametrize('masked', [False, True])
def test_the_gradient_is_that_of_finite_differences(name, masked):
    loss = build(name)
    student, teacher = feature_maps(size=(4, 6) if masked else (3, 4))
    mask = corner() if masked else None
    assert torch.autograd.gradcheck(
        lambda x: loss(x, teacher, mask, boxes()), student.requires_grad_()
    )


@pytest.mark.parametrize(
    'name', sorted(LOSSES.keys() - {'MGD', 'FGD'})
)  # whose trained parts change both
def test_equal_feature_maps_have_a_loss_of_0(name):
    student, _ = feature_maps()
    student.requires_grad_()
    value = build(name)(student, student.detach(), None, boxes())
    value.backward()
    assert value.abs() < 1e-12 and student.grad.abs().max() < 1e-6


@every_loss
@pytest.mark.parametrize('dead', ['student', 'teacher', 'both', 'a channel'])
def test_dead_feature_maps_give_finite_numbers(name, dead):
    loss = build(name).float()
    student, teacher = (feature_map.float() for feature_map in feature_maps())
    if dead == 'a channel':
        student[:, 1], teacher[:, 2] = 0, 0
    if dead in ('student', 'both'):
        student.zero_()
    if dead in ('teacher', 'both'):
        teacher.zero_()
    value = loss(student.requires_grad_(), teacher, None, boxes())
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


@every_loss
def test_autocast_and_half_precision_are_computed_in_float32(name):
    loss = build(name).float()
    student, teacher = (feature_map.float() for feature_map in feature_maps())
    expected = loss(student, teacher, None, boxes())
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(student, teacher, None, boxes()), expected)
        half = loss(student.bfloat16(), teacher.bfloat16(), None, boxes())
    assert half.dtype == torch.float32


@every_loss
def test_float32_agrees_with_float64(name):
    student, teacher = feature_maps()
    expected = build(name)(student, teacher, None, boxes())
    found = build(name).float()(student.float(), teacher.float(), None, boxes())
    torch.testing.assert_close(found.double(), expected, rtol=2e-4, atol=1e-7)


@every_loss
def test_a_larger_feature_map_of_the_teacher_is_interpolated(name):
    loss = build(name)
    student, teacher = feature_maps(size=(4, 6))[0], feature_maps(size=(8, 12))[1]
    smaller = nn.functional.interpolate(teacher, (4, 6), mode='bilinear')
    expected = loss(student, smaller, None, boxes())
    torch.testing.assert_close(loss(student, teacher, None, boxes()), expected)


@pytest.mark.parametrize('loss_class', [FitNetLoss, CWDLoss, PKDLoss, MGDLoss, FGDLoss])
def test_a_loss_that_pairs_channels_has_a_connector_if_the_channels_differ(loss_class):
    loss = loss_class()
    assert loss.needs_channels
    loss.connect(4, 7)
    assert not loss.needs_channels and loss.connector.layer.out_channels == 7
    student = feature_maps()[0].float()
    teacher = torch.rand(3, 7, 4, 6)
    assert loss(student, teacher, None, boxes()).isfinite()


@pytest.mark.parametrize('loss_class', [CWDLoss, MGDLoss, FGDLoss])
def test_channels_that_a_connector_was_given_are_kept_and_wrong_ones_refused(loss_class):
    given = dict(student_channels=4, teacher_channels=9)
    loss = loss_class(connector=dict(type='MLPConnector', **given))
    before = loss.connector.layer
    loss.connect(4, 7)
    assert loss.connector.layer is before
    with pytest.raises(UserError, match='^MLPConnector: it was built for 4 student and 9 teacher'):
        loss(feature_maps()[0].float(), torch.rand(3, 7, 4, 6), None, boxes())


@pytest.mark.parametrize('loss_class', [NSTLoss, ATLoss, CKALoss, SPLoss, RKDLoss])
def test_the_other_losses_compare_any_numbers_of_channels(loss_class):
    loss = loss_class()
    assert not loss.needs_channels
    assert loss(torch.rand(3, 4, 4, 6), torch.rand(3, 7, 4, 6)).isfinite()


@pytest.mark.parametrize(
    ('loss_class', 'option', 'value'),
    [
        (CWDLoss, 'temperature', 0),
        (PKDLoss, 'mode', 'papr'),
        (MGDLoss, 'mask_ratio', 1.5),
        (RKDLoss, 'mode', None),
        (RKDLoss, 'distance_weight', -1),
        (RKDLoss, 'angle_weight', '5'),
        (FGDLoss, 'temperature', -1),
        (FGDLoss, 'foreground_weight', True),
        (FGDLoss, 'background_weight', -1),
        (FGDLoss, 'attention_weight', -1),
        (FGDLoss, 'relation_weight', -1),
    ],
)
def test_a_wrong_option_is_one_clear_line(loss_class, option, value):
    with pytest.raises(UserError, match=f'^{option} is [^\n]*expected [^\n]*$') as error:
        loss_class(**{option: value})
    assert error.value.option == option

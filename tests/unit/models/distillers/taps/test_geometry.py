"""The area of the images that each position of a feature map covers."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample

from nst_det.models.distillers.taps.geometry import (
    align_feature_map,
    compute_strides,
    image_mask,
    image_sizes,
)


def position_map(shape, stride, batch=1):
    """A feature map whose two channels are the pixel coordinates of the centre of each position."""
    h, w = (-(-size // stride) for size in shape)
    rows = ((torch.arange(h) + 0.5) * stride)[:, None].expand(h, w)
    columns = ((torch.arange(w) + 0.5) * stride).expand(h, w)
    return torch.stack([rows, columns]).expand(batch, 2, h, w)


@pytest.mark.parametrize(
    ('shape', 'size', 'stride'),
    [
        ((600, 1000), (38, 63), 16),
        ((600, 1000), (37, 62), 16),  # without padding at the edges
        ((600, 1000), (75, 125), 8),
        ((70, 1000), (2, 16), 64),
        ((64, 64), (1, 1), 64),
        ((56, 112), (4, 8), 14),
    ],
)
def test_a_stride_is_computed_from_the_sizes(shape, size, stride):
    assert compute_strides(shape, size) == (stride, stride)


@pytest.mark.parametrize('stride', [4, 8, 16, 32])
@pytest.mark.parametrize('teacher_stride', [4, 8, 16, 32])
@pytest.mark.parametrize('teacher_shape', [(200, 300), (224, 320), (256, 384)])
def test_aligned_feature_maps_agree_for_all_strides_and_paddings(
    stride, teacher_stride, teacher_shape
):
    shape = 200, 300
    student = position_map(shape, stride)
    teacher = position_map(teacher_shape, teacher_stride)
    aligned = align_feature_map(teacher, teacher_shape, student.shape[2:], shape)
    # Between the centres of the outermost positions of both inside the image.
    margin = max(stride, teacher_stride)
    clear = (student > margin) & (student < torch.tensor(shape).view(2, 1, 1) - margin)
    clear = clear.all(1, keepdim=True).expand_as(student)
    torch.testing.assert_close(aligned[clear], student[clear], rtol=1e-5, atol=1e-3)
    assert clear.any()


def test_with_equal_strides_only_the_padding_is_cut_off():
    teacher = torch.rand(2, 3, 8, 12)
    aligned = align_feature_map(teacher, (128, 192), (7, 10), (100, 150))
    assert torch.equal(aligned, teacher[:, :, :7, :10])


def test_with_other_strides_and_equal_areas_a_feature_map_is_interpolated():
    teacher = torch.rand(2, 3, 4, 6)
    aligned = align_feature_map(teacher, (128, 192), (8, 12), (128, 192))
    expected = F.interpolate(teacher, (8, 12), mode='bilinear', align_corners=False)
    torch.testing.assert_close(aligned, expected)


def test_padding_of_an_image_does_not_leak_into_the_aligned_feature_map():
    teacher = torch.full((2, 1, 8, 8), 9.0)
    teacher[0, :, :4, :6] = 1  # an image of 64 × 96
    teacher[1, :, :8, :2] = 1  # and one of 128 × 32
    sizes = [(64, 96), (128, 32)]
    aligned = align_feature_map(teacher, (128, 128), (16, 16), (128, 128), sizes)
    assert aligned[0, :, :8, :12].eq(1).all()
    assert aligned[1, :, :16, :4].eq(1).all()
    padded = align_feature_map(teacher, (128, 128), (12, 12), (96, 96))
    assert padded[0, :, 8:].gt(1).any()


def test_padding_of_the_teachers_batch_does_not_leak_into_the_aligned_feature_map():
    teacher = torch.full((1, 1, 4, 4), 9.0)
    teacher[:, :, :3, :3] = 1  # the student's batch of 96 × 96
    assert align_feature_map(teacher, (128, 128), (12, 12), (96, 96)).eq(1).all()


@pytest.mark.parametrize('scale', [0.5, 1.25, 1.5, 2])
@pytest.mark.parametrize('stride', [8, 16])
def test_feature_maps_of_enlarged_images_agree_with_those_of_the_images(scale, stride):
    shape = 192, 320
    student = position_map(shape, stride)
    enlarged = round(shape[0] * scale), round(shape[1] * scale)
    padded = tuple(-(-side // 64) * 64 for side in enlarged)
    teacher = position_map(padded, 16) / scale  # in pixels of the student's images
    aligned = align_feature_map(teacher, padded, student.shape[2:], shape, scale=scale)
    margin = max(stride, 16 / scale)
    clear = (student > margin) & (student < torch.tensor(shape).view(2, 1, 1) - margin)
    clear = clear.all(1, keepdim=True).expand_as(student)
    torch.testing.assert_close(aligned[clear], student[clear], rtol=1e-5, atol=1e-3)
    assert clear.sum() > 50


def test_padding_beside_an_enlarged_image_does_not_leak_into_the_aligned_feature_map():
    teacher = torch.full((1, 1, 12, 12), 9.0)
    teacher[:, :, :9, :6] = 1  # an image of 96 × 64, enlarged to 144 × 96
    aligned = align_feature_map(teacher, (192, 192), (8, 8), (128, 128), [(96, 64)], 1.5)
    assert aligned[:, :, :6, :4].eq(1).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_feature_maps_of_every_type_are_aligned(dtype):
    teacher = torch.rand(1, 2, 4, 4).to(dtype)
    aligned = align_feature_map(teacher, (64, 64), (8, 8), (64, 64))
    expected = align_feature_map(teacher.float(), (64, 64), (8, 8), (64, 64))
    torch.testing.assert_close(aligned.float(), expected)


def test_the_mask_has_the_positions_whose_centre_is_inside_the_image():
    feature_map = torch.zeros(3, 5, 4, 4)
    mask = image_mask([(64, 64), (24, 25), (1, 40)], (64, 64), feature_map)
    assert mask.shape == (3, 1, 4, 4)
    assert mask.sum((1, 2, 3)).tolist() == [16, 1 * 2, 1 * 2]
    assert mask[1, 0, 0].tolist() == [True, True, False, False]


def samples(*sizes):
    return [DetDataSample(metainfo=dict(img_shape=size)) for size in sizes]


def test_a_batch_without_padding_has_no_mask():
    shape = 64, 96
    assert image_sizes(samples(shape, (64, 96, 3)), shape) is None
    assert image_mask(None, shape, torch.zeros(2, 1, 4, 6)) is None


def test_padding_of_less_than_half_a_position_has_no_mask():
    sizes = image_sizes(samples((60, 96), (64, 90)), (64, 96))
    assert sizes == [(60, 96), (64, 90)]
    assert image_mask(sizes, (64, 96), torch.zeros(2, 1, 4, 6)) is None
    assert image_mask(sizes, (64, 96), torch.zeros(2, 1, 8, 12)) is not None

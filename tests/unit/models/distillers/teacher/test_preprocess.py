"""TeacherPreprocess gives the batch that the preprocessor of the teacher would have made."""

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample

from nst_det.errors import UserError
from nst_det.models.distillers.teacher.preprocess import TeacherPreprocess

BGR = dict(mean=[104, 117, 128], std=[1, 1, 1])
RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
RAW = dict()
GREY = dict(mean=[110.0], std=[60.0])


def data(channels=3):
    generator = torch.Generator().manual_seed(0)
    sizes = [(40, 52), (33, 50)]
    images = [
        torch.randint(0, 256, (channels, *size), generator=generator, dtype=torch.uint8)
        for size in sizes
    ]
    samples = [DetDataSample(metainfo=dict(img_shape=size)) for size in sizes]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('student', [BGR, RGB, RAW])
@pytest.mark.parametrize('teacher', [BGR, RGB, RAW, dict(RGB, pad_value=7)])
@pytest.mark.parametrize('divisors', [(1, 32), (16, 16), (32, 1)])
def test_teacher_preprocess_equals_the_preprocessor_of_the_teacher(student, teacher, divisors):
    student = DetDataPreprocessor(**student, pad_size_divisor=divisors[0])
    teacher = DetDataPreprocessor(**teacher, pad_size_divisor=divisors[1])
    batch = student(data(), training=True)
    inputs, samples = TeacherPreprocess(student, teacher)(batch['inputs'], batch['data_samples'])
    expected = teacher(data(), training=True)['inputs']
    h, w = expected.shape[2:]
    torch.testing.assert_close(inputs[:, :, :h, :w], expected, rtol=1e-5, atol=1e-4)
    assert all(size % divisors[1] == 0 for size in inputs.shape[2:])
    assert samples[0].batch_input_shape == tuple(inputs.shape[2:])


def test_teacher_preprocess_returns_the_batch_itself_if_both_agree():
    first, second = DetDataPreprocessor(**BGR), DetDataPreprocessor(**BGR)
    batch = first(data(), training=True)
    inputs, _ = TeacherPreprocess(first, second)(batch['inputs'], batch['data_samples'])
    assert inputs is batch['inputs']


def test_teacher_preprocess_does_not_change_batch_or_samples_of_the_student():
    student = DetDataPreprocessor(**BGR)
    teacher = DetDataPreprocessor(**RGB, pad_size_divisor=64)
    batch = student(data(), training=True)
    before = batch['inputs'].clone()
    TeacherPreprocess(student, teacher)(batch['inputs'], batch['data_samples'])
    assert torch.equal(batch['inputs'], before)
    assert batch['data_samples'][0].batch_input_shape == (40, 52)


def test_teacher_preprocess_keeps_float32_colours_under_autocast():
    student, teacher = DetDataPreprocessor(**BGR), DetDataPreprocessor(**RGB)
    batch = student(data(), training=True)
    view = TeacherPreprocess(student, teacher)
    expected, _ = view(batch['inputs'], batch['data_samples'])
    with torch.autocast('cpu', torch.bfloat16):
        inputs, _ = view(batch['inputs'], batch['data_samples'])
    assert torch.equal(inputs, expected)


@pytest.mark.parametrize(
    ('channels', 'student', 'teacher'),
    [(1, GREY, dict(mean=[0.0], std=[255.0])), (1, RAW, GREY), (2, RAW, RAW), (5, RAW, RAW)],
)
def test_images_may_have_any_number_of_channels(channels, student, teacher):
    student, teacher = DetDataPreprocessor(**student), DetDataPreprocessor(**teacher)
    batch = student(data(channels), training=True)
    preprocess = TeacherPreprocess(student, teacher, channels, channels)
    inputs, _ = preprocess(batch['inputs'], batch['data_samples'])
    torch.testing.assert_close(inputs, teacher(data(channels), training=True)['inputs'])


def test_a_grey_image_is_repeated_for_a_teacher_of_colours():
    student, teacher = DetDataPreprocessor(**GREY), DetDataPreprocessor(**RGB)
    batch = student(data(1), training=True)
    preprocess = TeacherPreprocess(student, teacher, 1, 3)
    inputs, _ = preprocess(batch['inputs'], batch['data_samples'])
    repeated = data(1)
    repeated['inputs'] = [image.repeat(3, 1, 1) for image in repeated['inputs']]
    expected = teacher(repeated, training=True)['inputs']
    torch.testing.assert_close(inputs, expected, rtol=1e-5, atol=1e-4)


def test_images_of_other_channels_than_the_teachers_are_one_line():
    student, teacher = DetDataPreprocessor(**RGB), DetDataPreprocessor(**GREY)
    with pytest.raises(UserError, match='images have 3 channels, and the teacher takes 1'):
        TeacherPreprocess(student, teacher, 3, 1)


@pytest.mark.parametrize('scale', [0.5, 1.5, 2.0])
@pytest.mark.parametrize('teacher', [BGR, RGB, dict(RGB, pad_value=7)])
def test_each_image_is_resized_without_its_padding(scale, teacher):
    student = DetDataPreprocessor(**BGR, pad_size_divisor=16)
    batch = student(data(), training=True)
    teacher = DetDataPreprocessor(**teacher, pad_size_divisor=32)
    inputs, samples = TeacherPreprocess(student, teacher, scale=scale)(
        batch['inputs'], batch['data_samples']
    )
    own = teacher(data(), training=True)['inputs']
    for image, expected, sample, size in zip(inputs, own, samples, [(40, 52), (33, 50)]):
        height, width = (round(side * scale) for side in size)
        assert sample.img_shape == (height, width)
        assert sample.scale_factor == (scale, scale)
        resized = torch.nn.functional.interpolate(
            expected[None, :, : size[0], : size[1]],
            (height, width),
            mode='bilinear',
            antialias=scale < 1,
        )[0]
        torch.testing.assert_close(image[:, :height, :width], resized, rtol=1e-5, atol=1e-3)
        assert image[:, height:].eq(teacher.pad_value).all()
        assert image[:, :, width:].eq(teacher.pad_value).all()
    assert all(side % 32 == 0 for side in inputs.shape[2:])
    assert batch['data_samples'][0].img_shape == (40, 52)

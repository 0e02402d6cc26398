"""Images are read, scaled and padded as mmdet's test pipeline does it, without OpenCV."""

import cv2
import mmcv
import numpy as np
import pytest
from mmdet.datasets.transforms import Pad as MmdetPad
from PIL import Image

from nst_det.errors import UserError
from nst_det.runtime.images import grey, padded, prepare, read_image, resize, scaled_size
from nst_det.runtime.model_info import ModelInfo, Pad, Resize

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ('size', 'wanted'),
    [
        ((75, 100), (120, 160)),
        ((75, 100), (64, 85)),
        ((96, 128), (48, 64)),
        ((67, 103), (40, 62)),
        ((30, 30), (30, 30)),
    ],
)
def test_scaling_equals_that_of_opencv(size, wanted):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = cv2.resize(image, wanted[::-1], interpolation=cv2.INTER_LINEAR)
    difference = np.abs(resize(image, wanted[1], wanted[0]).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005


@pytest.mark.parametrize('scale', [(1000, 600), (640, 640), (320, 320)])
@pytest.mark.parametrize('size', [(500, 375), (333, 500), (17, 1000)])
def test_the_scaled_size_is_that_of_mmcv(size, scale):
    wanted = mmcv.rescale_size(size, scale)
    assert scaled_size(*size, Resize(scale, keep_ratio=True)) == wanted
    assert scaled_size(*size, Resize(scale, keep_ratio=False)) == scale
    half = scaled_size(*size, Resize((0.5, 0.5), keep_ratio=False, relative=True))
    assert half == tuple(int(side * 0.5 + 0.5) for side in size)


@pytest.mark.parametrize(
    ('ours', 'options'),
    [
        (Pad((90, 80), value=(114, 114, 114)), dict(size=(90, 80), pad_val=dict(img=(114,) * 3))),
        (Pad(divisor=32), dict(size_divisor=32)),
        (Pad(square=True, value=(1, 2, 3)), dict(pad_to_square=True, pad_val=dict(img=(1, 2, 3)))),
    ],
)
def test_padding_equals_that_of_mmdet(ours, options):
    image = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    expected = MmdetPad(**options)(dict(img=image))['img']
    assert np.array_equal(padded(image, ours), expected)


def test_a_grey_image_equals_that_of_opencv():
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert np.array_equal(grey(image)[..., 0], cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def test_pixels_and_orientation_are_those_that_mmcv_reads(shapes, tmp_path):
    file = min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg'))
    assert np.array_equal(read_image(file)[..., ::-1], mmcv.imread(str(file)))
    turned = Image.open(file)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.crop((0, 0, 64, 40)).save(tmp_path / 'turned.jpg', exif=exif)
    pixels = read_image(tmp_path / 'turned.jpg')
    assert pixels.shape == (64, 40, 3)
    assert np.array_equal(pixels[..., ::-1], mmcv.imread(str(tmp_path / 'turned.jpg')))


def test_of_16_bits_the_upper_8_are_taken_as_by_opencv(tmp_path):
    values = rng.integers(0, 1 << 16, (12, 10), dtype=np.uint16)
    for name in ('image.png', 'image.tif'):
        Image.fromarray(values).save(tmp_path / name)
        expected = cv2.imread(str(tmp_path / name))
        assert np.array_equal(read_image(tmp_path / name)[..., ::-1], expected)
        assert np.array_equal(expected[..., 0], values >> 8)


def test_values_of_32_bits_are_refused(tmp_path):
    for dtype in (np.float32, np.int32):
        Image.fromarray(np.full((4, 4), 1 << 20, dtype)).save(tmp_path / 'image.tif')
        with pytest.raises(UserError, match=r'image\.tif cannot be .*32 bits, expected 8 or 16'):
            read_image(tmp_path / 'image.tif')


def test_an_image_that_scaling_makes_empty_is_one_line():
    info = ModelInfo('X', ('a',), resize=Resize((320, 320), keep_ratio=True))
    with pytest.raises(UserError, match='1000 x 1 pixels are too narrow: .* to 320 x 0'):
        prepare(np.zeros((1, 1000, 3), np.uint8), info)


def test_a_missing_and_a_damaged_image_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r'there is no image .*gone\.jpg'):
        read_image(tmp_path / 'gone.jpg')
    (tmp_path / 'text.jpg').write_text('no image')
    with pytest.raises(UserError, match=r'text\.jpg cannot be read as an image'):
        read_image(tmp_path / 'text.jpg')


def test_an_image_is_prepared_in_the_order_of_the_pipeline():
    info = ModelInfo('X', ('a',), resize=Resize((40, 40), True), pad=Pad(divisor=32))
    image = np.full((80, 60, 3), (10, 20, 30), np.uint8)
    array, scale = prepare(image, info)
    assert array.shape == (3, 64, 32)
    assert array.dtype == np.float32
    assert array[:, 0, 0].tolist() == [30, 20, 10]  # BGR
    assert array[:, 50, 0].tolist() == [0, 0, 0]
    assert scale == (0.5, 0.5)


def test_a_size_that_the_model_cannot_take_is_one_line():
    with pytest.raises(UserError, match='multiples of 32, and this one has 60 x 80'):
        prepare(np.zeros((80, 60, 3), np.uint8), ModelInfo('X', ('a',), multiple=32))

import io
import os

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from PIL import Image
from torch.utils.data import DataLoader

from nst_det.datasets import SHAPE_CLASSES, LoadVerifiedImage, VOCDevkitDataset
from nst_det.errors import UserError


@pytest.fixture
def photo():
    """A smooth picture of 80 x 60 pixels."""
    row, column = np.mgrid[:60, :80]
    pixels = np.stack([3 * column, 4 * row, 255 - column - row], axis=2).astype(np.uint8)
    return Image.fromarray(pixels)


def encode(image, kind='JPEG', **kwargs):
    stream = io.BytesIO()
    image.save(stream, kind, **kwargs)
    return stream.getvalue()


def load(path, content, loader=None, **results):
    path.write_bytes(content)
    return (loader or LoadVerifiedImage())(dict(img_path=str(path), **results))


def fault_of(path, content, loader=None, **results):
    with pytest.raises(UserError) as caught:
        load(path, content, loader, **results)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    return message


@pytest.mark.parametrize(
    'arguments',
    [{}, dict(to_float32=True), dict(color_type='grayscale'), dict(imdecode_backend='pillow')],
    ids=str,
)
def test_a_complete_image_is_loaded_as_mmcv_loads_it(tmp_path, photo, arguments):
    path = tmp_path / 'photo.jpg'
    ours = load(path, encode(photo), LoadVerifiedImage(**arguments), height=60, width=80)
    theirs = LoadImageFromFile(**arguments)(dict(img_path=str(path)))
    np.testing.assert_array_equal(ours['img'], theirs['img'])
    assert ours['img'].dtype == theirs['img'].dtype
    assert ours['img_shape'] == ours['ori_shape'] == (60, 80)


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'WEBP'])
def test_other_formats_are_loaded(tmp_path, photo, kind):
    assert load(tmp_path / 'photo', encode(photo, kind))['img_shape'] == (60, 80)


@pytest.mark.parametrize('trailer', [b'\0' * 100, b'\r\n', b'maker notes \xff\x01'])
def test_bytes_after_a_complete_jpeg_do_not_matter(tmp_path, photo, trailer):
    assert load(tmp_path / 'photo.jpg', encode(photo) + trailer)['img_shape'] == (60, 80)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r'cannot read the image .*none\.jpg: No such file'):
        LoadVerifiedImage()(dict(img_path=str(tmp_path / 'none.jpg')))


def test_an_empty_image_is_named(tmp_path):
    assert 'is an empty file' in fault_of(tmp_path / 'photo.jpg', b'')


@pytest.mark.parametrize('kept', [0.5, 0.9, 0.99])
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP'])
def test_a_truncated_image_is_named(tmp_path, photo, kind, kept):
    content = encode(photo, kind)
    content = content[: int(kept * len(content))]
    assert 'is truncated' in fault_of(tmp_path / 'photo.jpg', content)


def test_a_progressive_jpeg_truncated_between_scans_is_named(tmp_path, photo):
    content = encode(photo, progressive=True)
    last_scan = content.rfind(b'\xff\xda')
    assert 'is truncated' in fault_of(tmp_path / 'photo.jpg', content[:last_scan])


def test_a_jpeg_that_ends_in_zeros_is_named(tmp_path, photo):
    content = encode(photo)
    half = len(content) // 2
    content = content[:half] + bytes(len(content) - half)
    assert 'is truncated' in fault_of(tmp_path / 'photo.jpg', content)


def test_a_file_that_is_no_image_is_named(tmp_path):
    message = fault_of(tmp_path / 'photo.jpg', b'<html>404 Not Found</html>')
    assert "not an image (26 bytes, beginning with b'<html>40')" in message


@pytest.mark.parametrize(
    'make',
    [os.mkfifo, lambda path: path.symlink_to('/dev/zero'), lambda path: path.mkdir()],
    ids=['pipe', 'endless', 'folder'],
)
def test_a_pipe_or_folder_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / 'photo.jpg')
    with pytest.raises(UserError, match=r'photo\.jpg is no plain file'):
        LoadVerifiedImage()(dict(img_path=str(tmp_path / 'photo.jpg')))


def test_an_image_of_another_size_than_annotated_is_named(tmp_path, photo):
    message = fault_of(tmp_path / 'photo.jpg', encode(photo), height=120, width=160)
    assert 'is 80 x 60, but its annotation has 160 x 120' in message


def test_an_image_turned_by_its_exif_data_is_explained(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    content = encode(photo, exif=exif)
    path = tmp_path / 'photo.jpg'
    assert "color_type='color_ignore_orientation'" in fault_of(path, content, height=60, width=80)
    upright = LoadVerifiedImage(color_type='color_ignore_orientation')
    assert load(path, content, upright, height=60, width=80)['img_shape'] == (60, 80)


def test_ignore_empty_leaves_out_an_unreadable_image(tmp_path, photo):
    content = encode(photo)[:500]
    assert load(tmp_path / 'photo.jpg', content, LoadVerifiedImage(ignore_empty=True)) is None


def test_the_obsolete_file_client_is_an_error():
    with pytest.warns(DeprecationWarning), pytest.raises(UserError, match='backend_args'):
        LoadVerifiedImage(file_client_args=dict(backend='disk'))


def test_it_is_built_from_a_config():
    assert isinstance(TRANSFORMS.build(dict(type='LoadVerifiedImage')), LoadVerifiedImage)


def test_the_line_of_an_error_passes_through_a_data_worker(devkit):
    image = devkit / 'VOC2007' / 'JPEGImages' / '000003.jpg'
    image.write_bytes(image.read_bytes()[:800])
    dataset = VOCDevkitDataset(
        data_root=str(devkit),
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        pipeline=[dict(type='mmdet.LoadVerifiedImage')],
    )
    loader = DataLoader(dataset, batch_size=None, num_workers=1)
    with pytest.raises(UserError) as caught:
        list(loader)
    last_line = str(caught.value).strip().splitlines()[-1]
    assert f'the image {image} is truncated' in last_line


@pytest.mark.parametrize(
    'step', [pytest.param(8, id='every eighth'), pytest.param(1, id='all', marks=pytest.mark.slow)]
)
def test_genuine_voc_images_pass(shared, step):
    voc = shared / 'data' / 'voc2007_subset' / 'VOCdevkit'
    for image_set in ('trainval', 'test'):
        dataset = VOCDevkitDataset(
            data_root=str(voc),
            ann_file=f'VOC2007/ImageSets/Main/{image_set}.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            pipeline=[dict(type='mmdet.LoadVerifiedImage')],
        )
        for index in range(0, len(dataset), step):
            info = dataset[index]
            assert info['img_shape'] == (info['height'], info['width'])

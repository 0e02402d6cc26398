"""The size of an image in a file."""

import cv2
import numpy as np
import pytest
from PIL import Image

from nst_det.datasets import LoadVerifiedImage
from nst_det.datasets.image_size import read_image_size
from nst_det.errors import UserError

FLAGS = ('color', 'color_ignore_orientation', 'unchanged', 'grayscale')


@pytest.mark.parametrize('flag', FLAGS)
@pytest.mark.parametrize('orientation', [1, 3, 6])
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_the_size_is_that_of_the_loaded_image(tmp_path, suffix, orientation, flag):
    path = tmp_path / f'photo{suffix}'
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', (80, 60)).save(path, exif=exif)
    loaded = LoadVerifiedImage(color_type=flag)(dict(img_path=str(path)))['img']
    assert read_image_size(str(path), flag) == (loaded.shape[1], loaded.shape[0])


@pytest.mark.parametrize('suffix', ['.bmp', '.webp', '.tiff', '.gif', '.avif', '.hdr', '.pfm'])
def test_every_format_has_a_size(tmp_path, suffix):
    path = tmp_path / f'photo{suffix}'
    image = np.zeros((60, 80, 3), np.float32 if suffix in ('.hdr', '.pfm') else np.uint8)
    if not cv2.imwrite(str(path), image):
        pytest.skip(f'this OpenCV writes no {suffix}')
    assert read_image_size(str(path)) == (80, 60)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / 'photo.jpg').write_bytes(b'<html>404</html>')
    for name, state in [('photo', 'cannot be decoded'), ('none', 'there is no image')]:
        with pytest.raises(UserError, match=state):
            read_image_size(str(tmp_path / f'{name}.jpg'))

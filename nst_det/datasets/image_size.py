"""The size of an image in a file, as the training will load it."""

import mmcv
from mmengine import fileio
from PIL import Image

from nst_det.errors import UserError

ORIENTATION = 0x0112  # the EXIF tag


def read_image_size(path: str, flag: str = 'color') -> tuple[int, int]:
    """Read the width and height of an image.

    Only the header is read, unless the image is turned by its EXIF data or Pillow does not know
    the format: then it is decoded.

    Args:
        path (str): The file.
        flag (str): How the image will be decoded, see :func:`mmcv.imfrombytes`; this decides
            whether EXIF data turn it. Defaults to 'color'.

    Returns:
        tuple[int, int]: Width and height in pixels.

    Raises:
        UserError: If the file is missing or is no image.
    """
    try:
        with Image.open(path) as image:
            if image.getexif().get(ORIENTATION, 1) == 1:
                return image.size
    except FileNotFoundError:
        raise UserError(f'there is no image {path}') from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        pass  # OpenCV may read what Pillow does not
    image = mmcv.imfrombytes(fileio.get(path), flag=flag)
    if image is None:
        raise UserError(f'the image {path} cannot be decoded: it is damaged or not an image')
    return image.shape[1], image.shape[0]

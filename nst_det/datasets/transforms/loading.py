"""Loading images, with a check that they are complete and of the size in their annotation."""

import io
import logging
import os
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine import fileio
from mmengine.logging import print_log
from PIL import Image, UnidentifiedImageError

from nst_det.errors import UserError

JPEG_START, JPEG_SCAN, JPEG_END = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'
PNG_START, PNG_END = b'\x89PNG', b'IEND\xaeB`\x82'


@TRANSFORMS.register_module()
class LoadVerifiedImage(LoadImageFromFile):
    """Loads an image, and refuses a damaged one.

    OpenCV returns a half-grey picture for a truncated JPEG without any warning. This transform
    takes the arguments of mmcv's ``LoadImageFromFile`` and returns the same pixels, but an image
    that is missing, empty, truncated, not an image, or has another size than in its annotation is
    an error that names the file.

    A JPEG or PNG with its end marker at the end counts as complete, which takes no time. Any other
    image is decoded a second time by Pillow, which reports missing data.

    Required Keys:

    - img_path
    - height, width (optional, the size in the annotation)

    Modified Keys:

    - img
    - img_shape
    - ori_shape

    Args:
        to_float32 (bool): Whether to convert the image to float32. Defaults to False.
        color_type (str): The flag of :func:`mmcv.imfrombytes`. Defaults to 'color'.
        imdecode_backend (str): The decoder, see :func:`mmcv.imfrombytes`. Defaults to 'cv2'.
        ignore_empty (bool): Whether an unreadable image is a warning in the log instead of an
            error. The transform then returns None, and the data set takes another image. Defaults
            to False.
        backend_args (dict, optional): The file backend. Defaults to None.

    Raises:
        UserError: If the image cannot be used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.file_client_args is not None:
            raise UserError('file_client_args is gone from mmdet 3.x: give backend_args instead')

    def transform(self, results: dict) -> dict | None:
        """Load the image.

        Args:
            results (dict): The entry of the data set for the image.

        Returns:
            dict | None: ``results`` with the image `(H, W, C)`; None for an unreadable image with
            ``ignore_empty``.
        """
        try:
            img = self._decode(results['img_path'])
        except UserError as error:
            if not self.ignore_empty:
                raise
            print_log(f'{error}; another image takes its place', 'current', logging.WARNING)
            return None
        self._check_size(img, results)
        if self.to_float32:
            img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = img.shape[:2]
        results['ori_shape'] = img.shape[:2]
        return results

    def _decode(self, path: str) -> np.ndarray:
        """Read and decode a file that holds one complete image."""
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device has no end
            raise UserError(f'the image {path} is no plain file: copy or download it again')
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except OSError as error:
            raise UserError(f'cannot read the image {path}: {error.strerror or error}') from error
        if not content:
            raise UserError(f'the image {path} is an empty file: copy or download it again')
        if not is_complete_image(content):
            raise UserError(
                f'the image {path} is truncated ({len(content)} bytes): copy or download it again'
            )
        try:
            img = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        except (
            OSError,
            SyntaxError,
            cv2.error,
        ):  # Pillow and OpenCV raise these for a damaged file
            img = None
        if img is None:
            raise UserError(
                f'the image {path} cannot be decoded: it is damaged or not an image '
                f'({len(content)} bytes, beginning with {content[:8]!r})'
            )
        return img

    @staticmethod
    def _check_size(img: np.ndarray, results: dict) -> None:
        """Compare the size of the image with that in its annotation."""
        height, width = img.shape[:2]
        expected = results.get('height', height), results.get('width', width)
        if expected == (height, width):
            return
        hint = 'the boxes would be wrong, so repair the annotation or put back the image'
        if expected == (width, height):
            hint = (
                "if its EXIF data turn it, load it with color_type='color_ignore_orientation', "
                'otherwise repair the annotation'
            )
        raise UserError(
            f'the image {results["img_path"]} is {width} x {height}, but its annotation '
            f'has {expected[1]} x {expected[0]}: {hint}'
        )


def is_complete_image(content: bytes) -> bool:
    """Tell whether an image file is complete, as far as Pillow can tell.

    Args:
        content (bytes): The content of the file.

    Returns:
        bool: False for a truncated file. True for a complete one, and for a format that Pillow does
        not know: the decoder will check it.
    """
    is_jpeg, is_png = content.startswith(JPEG_START), content.startswith(PNG_START)
    if (is_jpeg and content.endswith(JPEG_END)) or (is_png and content.endswith(PNG_END)):
        return True
    # Without an end marker, trailing zeros would be decoded without an error.
    if is_jpeg and content.rfind(JPEG_END) < content.rfind(JPEG_SCAN):
        return False
    if is_png and PNG_END not in content:
        return False
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except UnidentifiedImageError:
        return True
    except (OSError, SyntaxError, EOFError):
        return False
    return True

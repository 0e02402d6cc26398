"""Small pictures of test images, in the page or in a folder beside it."""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageOps
from tqdm import tqdm

from nst_det.datasets.image_size import ORIENTATION
from nst_det.errors import UserError

MAX_SIDE = 480  # pixels
MAX_INLINE = 200  # pictures; more make the page slow to open
NAME = re.compile(r'\d{6}\.jpg')


class Thumbnails:
    """Small pictures of images, in the page if they are few, else in a folder beside it.

    Args:
        folder (Path): The folder, which is made if it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: list[tuple[int, int]] = []

    def make(self, paths: Iterable[str]) -> list[str]:
        """Make the pictures.

        Args:
            paths (Iterable[str]): The images. The sizes of the originals, to which boxes refer, are
                in ``sizes`` afterwards.

        Returns:
            list[str]: Of each image a data URI, or the address of its picture from the page.

        Raises:
            UserError: If the folder holds other files.
            OSError: If an image cannot be read.
        """
        paths = list(paths)
        beside = len(paths) > MAX_INLINE
        if beside:
            self._prepare()
        sources = []
        for number, path in enumerate(
            tqdm(paths, 'pictures', unit='image', delay=2, mininterval=1, leave=False)
        ):
            content, size = small_jpeg(path)
            self.sizes.append(size)
            if beside:
                name = f'{number:06}.jpg'
                (self.folder / name).write_bytes(content)
                sources.append(f'{quote(self.folder.name)}/{name}')
            else:
                sources.append(f'data:image/jpeg;base64,{base64.b64encode(content).decode()}')
        return sources

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        foreign = [file.name for file in self.folder.iterdir() if not NAME.fullmatch(file.name)]
        if foreign:
            raise UserError(
                f'{self.folder}, the folder for the pictures of the report, holds {foreign[0]}: '
                'choose another name with -o'
            )


def small_jpeg(path: str) -> tuple[bytes, tuple[int, int]]:
    """Make a small JPEG of an image.

    Args:
        path (str): The image.

    Returns:
        tuple[bytes, tuple[int, int]]: The content of the file, and width and height of the image.

    Raises:
        OSError: If the image cannot be read.
    """
    with Image.open(path) as opened:
        size = opened.size
        if opened.getexif().get(ORIENTATION, 1) >= 5:  # turned by a quarter
            size = size[::-1]
        opened.draft('RGB', (2 * MAX_SIDE, 2 * MAX_SIDE))  # a JPEG is then decoded smaller
        picture = ImageOps.exif_transpose(opened).convert('RGB')
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, 'JPEG', quality=80)
    return buffer.getvalue(), size

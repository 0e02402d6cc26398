"""Finding the files that a user names. It imports no torch, so that the tools can check first."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nst_det.errors import UserError
from nst_det.fileio.files_by_stem import IMAGE_SUFFIXES

# Of VOC and of labelling tools, in lower case.
IMAGE_FOLDERS = ('jpegimages', 'images', 'imgs', 'image')
ANNOTATION_FOLDERS = ('annotations', 'labels', 'xmls', 'xml')


@dataclass(frozen=True)
class Devkit:
    """Images with annotations in VOC's format.

    Args:
        root (Path): The folder, such as ``VOCdevkit/VOC2007``.
        img_subdir (str): The folder of the images in it; ``''`` if they are in it directly.
        ann_subdir (str): The folder of the annotations in it.
    """

    root: Path
    img_subdir: str
    ann_subdir: str


def check_checkpoint(path: str) -> None:
    """Check that a checkpoint file exists, if it is on this machine.

    Args:
        path (str): Its path, or an address such as ``'https://…'``, which is not checked.

    Raises:
        UserError: If there is no such file.
    """
    if '://' not in path:
        find_checkpoint(path)


def find_checkpoint(path: str) -> Path:
    """Find a checkpoint file on this machine.

    Args:
        path (str): Its path.

    Returns:
        Path: The file.

    Raises:
        UserError: If there is no such file.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f'checkpoint {file.absolute()} is a folder, expected a file')
    if not file.is_file():
        state = 'is no plain file' if file.exists() else 'does not exist'
        raise UserError(f'checkpoint {file.absolute()} {state}')
    return file


def find_image(path: str | Path) -> Path:
    """Find an image file.

    Args:
        path (str | Path): Its path.

    Returns:
        Path: The file.

    Raises:
        UserError: If there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f'there is no image {file.absolute()}')
    return file


def find_work_dir(path: str | Path) -> Path:
    """Find the work dir of a training.

    Args:
        path (str | Path): Its path.

    Returns:
        Path: The folder.

    Raises:
        UserError: If there is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f'there is no work dir {folder.absolute()}')
    return folder


def find_devkits(folder: str | Path) -> list[Devkit]:
    """Find VOC devkits and exports of labelling tools in VOC's format.

    Args:
        folder (str | Path): ``VOCdevkit``, the folder that contains it, or the folder of an export:
            with images and annotations in two folders, or side by side.

    Returns:
        list[Devkit]: Each folder such as ``VOC2007``, or such as the sets of an export.

    Raises:
        UserError: If there is none.
    """
    root = Path(folder)
    devkits = list(_devkits_below(root, depth=2)) if root.is_dir() else []
    if not devkits:
        raise UserError(
            f'{root.absolute()} holds no devkit: expected VOC2007 or VOC2012 in it, or folders '
            'Annotations and JPEGImages, or images with their .xml files beside them'
        )
    return devkits


def _devkits_below(folder: Path, depth: int) -> Iterator[Devkit]:
    entries = sorted(folder.iterdir())
    folders = {entry.name.lower(): entry.name for entry in entries if entry.is_dir()}
    images = [folders[name] for name in IMAGE_FOLDERS if name in folders]
    annotations = [folders[name] for name in ANNOTATION_FOLDERS if name in folders]
    suffixes = {entry.suffix.lower() for entry in entries}
    if annotations or re.fullmatch(r'VOC20\d\d', folder.name):
        names = (*images, 'JPEGImages')[0], (*annotations, 'Annotations')[0]
        yield Devkit(folder, *names)
    elif '.xml' in suffixes and suffixes & IMAGE_SUFFIXES:
        yield Devkit(folder, '', '')
    elif depth:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith('.'):
                yield from _devkits_below(entry, depth - 1)

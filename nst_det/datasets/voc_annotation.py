"""Annotations in VOC's XML, which may come from strangers: incomplete or odd ones are refused."""

import math
import os.path as osp
import xml.etree.ElementTree as ET
from collections.abc import Container
from dataclasses import dataclass
from typing import NoReturn

from nst_det.errors import UserError

LARGEST_FILE = 16 * 2**20  # bytes; VOC's own are of 4 kB at most
LARGEST_SIDE = 65535  # pixels, of a JPEG


@dataclass
class VOCObject:
    """An object in an image.

    Args:
        name (str): Its class.
        box (tuple[int, int, int, int]): xmin, ymin, xmax and ymax in pixels counted from 1.
        difficult (bool): Whether it is marked difficult.
    """

    name: str
    box: tuple[int, int, int, int]
    difficult: bool


@dataclass
class VOCAnnotation:
    """The annotation of an image.

    Args:
        tree (ElementTree): The XML, which declares no entities.
        width (int): The width of the image in pixels.
        height (int): The height of the image in pixels.
        objects (list[VOCObject]): The objects of the wanted classes.
        others (list[str]): The class names of the other objects.
    """

    tree: ET.ElementTree
    width: int
    height: int
    objects: list[VOCObject]
    others: list[str]


def read_annotation(path: str, classes: Container[str] | None = None) -> VOCAnnotation:
    """Read the annotation of an image.

    A missing ``<difficult>`` is 0, and an image may have no objects. ``<filename>`` is not used,
    whatever path it holds: an image has the name of its annotation.

    Args:
        path (str): The file.
        classes (Container[str], optional): The wanted classes. Objects of other classes are not
            checked. Defaults to None, all.

    Returns:
        VOCAnnotation: The annotation.

    Raises:
        UserError: If it cannot be read, is no XML or larger than 16 MiB, declares a document type
            or entities, or lacks a size, a name or a box; if a number cannot be read, or a side is
            longer than that of a JPEG can be; if a box has no area, is outside the image, or
            extends beyond it by more than the width or height of the image.
    """
    if osp.exists(path) and not osp.isfile(path):  # reading a pipe would wait forever
        raise UserError(f'the annotation {osp.abspath(path)} is no plain file')
    try:
        with open(path, 'rb') as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UserError(
            f'cannot read the annotation {osp.abspath(path)}: {error.strerror}'
        ) from error
    return parse_annotation(content, path, classes)


def parse_annotation(
    content: bytes, path: str, classes: Container[str] | None = None
) -> VOCAnnotation:
    """Read the annotation of an image from the content of a file: see :func:`read_annotation`."""
    try:
        if len(content) > LARGEST_FILE:
            raise _Fault(f'is larger than {LARGEST_FILE} bytes, which no annotation is')
        root = _parse(content)
        width, height = (_read_side(root, side) for side in ('width', 'height'))
        objects, others = [], []
        for number, obj in enumerate(root.findall('object'), start=1):
            name = obj.findtext('name')
            if not name:
                raise _Fault(f'has no <name> in object {number}')
            if classes is None or name in classes:
                objects.append(_read_object(obj, f'object {number} ({name!r})', width, height))
            else:
                others.append(name)
    except _Fault as error:
        raise UserError(f'the annotation {osp.abspath(path)} {error}') from error.__cause__
    return VOCAnnotation(ET.ElementTree(root), width, height, objects, others)


class _Fault(Exception):
    """A fault of an annotation; the message continues a sentence that begins with its path."""


class _Builder(ET.TreeBuilder):
    """Builds a tree, and refuses a document type, so that there are no entities."""

    def doctype(self, *declared: str) -> NoReturn:
        raise _Fault('declares a document type, as files that expand endlessly do: remove it')


def _parse(content: bytes) -> ET.Element:
    try:
        parser = ET.XMLParser(target=_Builder())
        parser.feed(content)
        return parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:  # the latter two: a wrong encoding
        state = f'is not valid XML ({error})' if content else 'is empty'
        raise _Fault(f'{state}: it is truncated or damaged') from error


def _read_side(root: ET.Element, side: str) -> int:
    """Read the width or the height of the image."""
    size = root.find('size')
    if size is None:
        raise _Fault('has no <size>, expected the width and height of its image')
    pixels = _read_number(size, side, '<size>')
    if not 1 <= pixels <= LARGEST_SIDE or pixels != int(pixels):
        raise _Fault(
            f'gives {pixels:g} pixels as the {side} of its image, expected a whole number from '
            f'1 to {LARGEST_SIDE}'
        )
    return int(pixels)


def _read_object(obj: ET.Element, what: str, width: int, height: int) -> VOCObject:
    difficult = obj.findtext('difficult', default='0')
    if difficult.strip() not in ('0', '1'):
        raise _Fault(f'has {difficult!r} as <difficult> in {what}, expected 0 or 1')
    bounds = obj.find('bndbox')
    if bounds is None:
        raise _Fault(f'has no <bndbox> in {what}')
    xmin, ymin, xmax, ymax = (
        int(_read_number(bounds, side, what)) for side in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    box = xmin, ymin, xmax, ymax
    corners = f'(xmin, ymin, xmax, ymax) = ({", ".join(f"{side:.6g}" for side in box)})'
    if xmin >= xmax or ymin >= ymax:
        # A box without width or height has no regression target: the loss would be NaN.
        raise _Fault(
            f'has a box without area in {what}: {corners}, expected xmin < xmax and ymin < ymax'
        )
    if xmin > width or ymin > height or xmax < 1 or ymax < 1:
        raise _Fault(
            f'has a box outside the image in {what}: {corners} in {width} x {height} pixels'
        )
    if min(xmin + width, ymin + height) < 0 or xmax > 2 * width or ymax > 2 * height:
        raise _Fault(
            f'has a box that reaches far beyond the image in {what}: {corners} in {width} x '
            f'{height} pixels'
        )
    return VOCObject(obj.findtext('name'), box, difficult.strip() == '1')


def _read_number(parent: ET.Element, tag: str, where: str) -> float:
    """Read a child element that holds a finite number."""
    text = parent.findtext(tag)
    if text is None:
        raise _Fault(f'has no <{tag}> in {where}')
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _Fault(f'has {text[:80]!r} as <{tag}> in {where}, expected a number')
    return number

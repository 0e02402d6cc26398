"""Annotations in VOC's XML, as labelling tools write it; what cannot be meant is refused.

They may come from strangers. What is read otherwise than it is written is listed.
"""

import math
import os.path as osp
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NoReturn

from nst_det.errors import UserError
from nst_det.fileio.encodings import decodes, extends_ascii, legacy_readings, unicode_encoding

LARGEST_FILE = 16 * 2**20  # bytes; VOC's own are of 4 kB at most
LARGEST_SIDE = 65535  # pixels, of a JPEG
DECLARATION = re.compile(rb'\s*<\?xml[^>]{0,200}?encoding\s*=\s*["\']([\w.-]{1,40})["\']')
TRUE, FALSE = ('1', '1.0', 'true', 'yes'), ('0', '0.0', 'false', 'no', 'none', 'unspecified', '')


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
        width (int): The width of the image in pixels.
        height (int): The height of the image in pixels.
        objects (list[VOCObject]): The objects of the wanted classes.
        others (list[str]): The class names of the other objects.
        readings (list[str]): What was read otherwise than it is written, in the plural.
    """

    width: int
    height: int
    objects: list[VOCObject]
    others: list[str]
    readings: list[str]


def read_annotation(
    path: str,
    classes: Collection[str] | None = None,
    image_size: Callable[[], tuple[int, int]] | None = None,
) -> VOCAnnotation:
    """Read the annotation of an image.

    - ``<filename>`` is not used, whatever path it holds: an image has the name of its annotation.
    - An image may have no objects. Upper and lower case do not count in tags.
    - ``<difficult>`` may be 0, 1, a word such as 'False' or 'Unspecified', empty or missing.
    - Class names are compared without white space around them.
    - Coordinates are cut to whole pixels, as mmdet does.
    - A text that is not in the encoding that it declares is read if no other reading is possible.

    Args:
        path (str): The file.
        classes (Collection[str], optional): The wanted classes. Objects of other classes are not
            checked. Defaults to None, all.
        image_size (Callable, optional): A function that returns the width and height of the image.
            It is called if the annotation has no usable ``<size>``. Defaults to None: such an
            annotation is an error.

    Returns:
        VOCAnnotation: The annotation.

    Raises:
        UserError: If it cannot be read, is no XML or larger than 16 MiB, declares a document type
            or entities, is no annotation of VOC, or lacks a name or a box; if a number cannot be
            read; if a box has no area, is outside the image, or extends beyond it by more than the
            width or height of the image; or if its encoding leaves a class name in doubt.
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
    return parse_annotation(content, path, classes, image_size)


def parse_annotation(
    content: bytes,
    path: str,
    classes: Collection[str] | None = None,
    image_size: Callable[[], tuple[int, int]] | None = None,
) -> VOCAnnotation:
    """Read the annotation of an image from the content of a file: see :func:`read_annotation`."""
    try:
        return _Reader(classes, image_size).read(content)
    except _Fault as error:
        raise UserError(f'the annotation {osp.abspath(path)} {error}') from error.__cause__


class _Fault(Exception):
    """A fault of an annotation; the message continues a sentence that begins with its path."""


class _Builder(ET.TreeBuilder):
    """Builds a tree with tags in lower case, and refuses a document type: there are no entities."""

    def start(self, tag: str, attributes: dict) -> ET.Element:
        return super().start(tag.lower(), attributes)

    def end(self, tag: str) -> ET.Element:
        return super().end(tag.lower())

    def doctype(self, *declared: str) -> NoReturn:
        raise _Fault('declares a document type, as files that expand endlessly do: remove it')


class _Reader:
    """Reads one annotation."""

    def __init__(
        self,
        classes: Collection[str] | None,
        image_size: Callable[[], tuple[int, int]] | None,
    ) -> None:
        self.classes = classes
        self.plain_names = {_plain(name): name for name in classes or ()}
        self.image_size = image_size
        self.readings: list[str] = []
        self.encoding = 'utf-8'
        self.is_known = True  # whether it is the encoding for certain

    def read(self, content: bytes) -> VOCAnnotation:
        if len(content) > LARGEST_FILE:
            raise _Fault(f'is larger than {LARGEST_FILE} bytes, which no annotation is')
        root = self._parse(content)
        width, height = self._read_size(root)
        objects, others = [], []
        for number, obj in enumerate(root.findall('object'), start=1):
            name = self._read_name(obj, number)
            if self.classes is None or name in self.classes:
                what = f'object {number} ({name!r})'
                objects.append(self._read_object(obj, name, what, width, height))
            else:
                others.append(name)
        return VOCAnnotation(width, height, objects, others, self.readings)

    def _parse(self, content: bytes) -> ET.Element:
        try:
            parser = ET.XMLParser(target=_Builder())
            parser.feed(self._decode(content).strip('\ufeff\0 \t\r\n'))
            root = parser.close()
        except (ET.ParseError, ValueError) as error:  # the latter: a character that XML forbids
            state = f'is not valid XML ({error})' if content.strip() else 'is empty'
            raise _Fault(f'{state}: it is truncated or damaged') from error
        if root.tag != 'annotation':
            raise _Fault(
                f'begins with <{root.tag[:80]}>, expected <annotation>: export it as Pascal VOC'
            )
        if len(list(root.iter('object'))) > len(root.findall('object')):
            raise _Fault('has an <object> inside another element, expected it in <annotation>')
        return root

    def _decode(self, content: bytes) -> str:
        """Decode the text, in the encoding that it declares if it is valid in it."""
        unicode = unicode_encoding(content)
        match = DECLARATION.match(content[:300])
        declared = match[1].decode() if match else 'utf-8'
        if unicode not in (None, 'utf-8'):
            self.encoding = unicode
        elif extends_ascii(declared) and decodes(content, declared):
            self.encoding = declared
        elif unicode == 'utf-8':
            if not content.isascii():
                self.readings.append(f'annotations that declare {declared!r} but are UTF-8')
        else:
            self.readings.append(f'annotations that are not valid as {declared!r}, as declared')
            self.encoding, self.is_known = 'latin-1', False  # this keeps the bytes of the names
        try:
            return content.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise _Fault(f'is not valid as {self.encoding}, as which it begins') from error

    def _read_size(self, root: ET.Element) -> tuple[int, int]:
        """Read the width and the height of the image."""
        try:
            return _read_side(root, 'width'), _read_side(root, 'height')
        except _Fault:
            if self.image_size is None:
                raise
            self.readings.append(
                'annotations without a usable <size>, which was read from the image'
            )
            return self.image_size()

    def _read_name(self, obj: ET.Element, number: int) -> str:
        """Read the class of an object, in the spelling of the wanted classes."""
        text = obj.findtext('name') or ''
        if self.classes is not None and text in self.classes:
            return text
        if not text.isascii() and _plain(text) not in self.plain_names:
            text = self._guess(text, number)
        plain = _plain(text)
        if not plain:
            raise _Fault(f'has no <name> in object {number}')
        name = self.plain_names.get(plain, plain)
        if ' '.join(text.split()) != text and (self.classes is None or plain in self.plain_names):
            self.readings.append(f'objects with white space in their class, read as {name!r}')
        return name

    def _guess(self, text: str, number: int) -> str:
        """Decode a name by that encoding in which it is the name of a wanted class."""
        try:
            content = text.encode(self.encoding)
        except UnicodeEncodeError:  # written as a character reference
            return text
        names = legacy_readings(content)
        fitting = {name for name in names.values() if _plain(name) in self.plain_names}
        if len(fitting) == 1:
            self.readings.append(
                f'objects with their class in another encoding, read as {min(fitting)!r}'
            )
            return fitting.pop()
        if self.is_known:
            return text
        perhaps = ', '.join(f'{name.strip()!r} in {encoding}' for encoding, name in names.items())
        raise _Fault(
            f'is not in UTF-8, and the class of object {number} may be '
            f'{perhaps or repr(content)}: save it as UTF-8, or declare its encoding'
        )

    def _read_object(
        self, obj: ET.Element, name: str, what: str, width: int, height: int
    ) -> VOCObject:
        difficult = self._read_difficult(obj, what)
        bounds = obj.find('bndbox')
        if bounds is None:
            raise _Fault(f'has no <bndbox> in {what}')
        sides = [_read_number(bounds, side, what) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
        xmin, ymin, xmax, ymax = (int(side) for side in sides)
        box = xmin, ymin, xmax, ymax
        if any(side != int(side) for side in sides):
            self.readings.append('boxes with decimals, cut to whole pixels')
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
        return VOCObject(name, box, difficult)

    def _read_difficult(self, obj: ET.Element, what: str) -> bool:
        text = obj.findtext('difficult', default='0')
        word = text.strip().lower()
        if word not in TRUE + FALSE:
            raise _Fault(f'has {text!r} as <difficult> in {what}, expected 0 or 1')
        if word not in ('0', '1'):
            value = f'{text.strip()[:20]!r}' if word else 'nothing'
            self.readings.append(f'objects with {value} as <difficult>, read as {word in TRUE:d}')
        return word in TRUE


def _plain(name: str) -> str:
    """A name without white space around it, and with accented letters as one character."""
    return unicodedata.normalize('NFC', ' '.join(name.split()))


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

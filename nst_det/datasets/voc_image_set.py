"""The lists of images in a VOC devkit."""

import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from nst_det.datasets.readings import Readings
from nst_det.errors import UserError
from nst_det.fileio.encodings import legacy_readings, unicode_encoding
from nst_det.fileio.files_by_stem import FilesByStem


def read_image_set(path: Path, images: FilesByStem, readings: Readings) -> list[str]:
    """Read a list of images: one name per line, which may contain spaces and sub-folders.

    A name may also stand in quotation marks, with the suffix of the image, or with backslashes, if
    there is such an image. The text is UTF-8 or UTF-16, or in another encoding if the images with
    these names exist.

    Args:
        path (Path): The list.
        images (FilesByStem): The images.
        readings (Readings): Counts the names that were read otherwise than they are written.

    Returns:
        list[str]: The names of the images, without their suffixes. Images may be missing.

    Raises:
        FileNotFoundError: If there is no such list.
        UserError: If the list is empty, cannot be read, is one of VOC's lists per class or leads
            out of the devkit; or if its encoding is in doubt.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f'cannot read the image-set list {path}: {error}') from error
    names = []
    for number, line in enumerate(_decode(content, path, images, readings), start=1):
        if not line.strip():
            continue
        where = f'line {number} of the image-set list {path} is {line!r}'
        forward = line.strip().replace('\\', '/')
        if posixpath.isabs(forward) or '..' in PurePosixPath(forward).parts:
            raise UserError(
                f'{where}, which leads out of the devkit: expected the name of an image'
            )
        name, reading = _find_name(line, images)
        if name is None:
            if is_line_of_class(line):
                raise UserError(
                    f"{where}, as in VOC's lists per class: use a list such as 'trainval.txt', "
                    'which has only the name of an image in each line'
                )
            name = line.strip()
        if reading:
            readings.add(reading, str(path.name))
        names.append(name)
    if not names:
        raise UserError(f'the image-set list {path} is empty, expected one image name per line')
    return names


def is_line_of_class(line: str) -> bool:
    """Tell whether a line looks like those of VOC's lists per class.

    Args:
        line (str): The line.

    Returns:
        bool: True for a name that -1, 0 or 1 follows.
    """
    words = line.split()
    return len(words) > 1 and words[-1] in ('-1', '0', '1')


def _find_name(line: str, images: FilesByStem) -> tuple[str | None, str]:
    """Find the image that a line names, and how the line was read."""
    for name, reading in _names_in(line, images):
        if name and images.find(name) is not None:
            return name, reading
    return None, ''


def _names_in(line: str, images: FilesByStem) -> Iterator[tuple[str, str]]:
    """The names that a line may stand for, the most literal first."""
    name = line.strip()
    yield name, ''
    quoted = name.strip('"\'')
    yield quoted, 'image names in quotation marks'
    forward = quoted.replace('\\', '/')
    yield forward, 'image names with backslashes'
    stem, suffix = posixpath.splitext(forward)
    if suffix.lower() in images.suffixes and (images.folder / forward).is_file():
        yield stem, 'image names with a suffix'


def _decode(content: bytes, path: Path, images: FilesByStem, readings: Readings) -> list[str]:
    encoding = unicode_encoding(content)
    if encoding is not None:
        try:
            return _lines(content.decode(encoding))
        except UnicodeDecodeError as error:
            raise UserError(
                f'the image-set list {path} is not valid as {encoding}, as which it begins: save '
                'it as UTF-8'
            ) from error
    texts = legacy_readings(content)
    fitting = {name: text for name, text in texts.items() if _all_exist(_lines(text), images.find)}
    if len(fitting) != 1:
        perhaps = ' or '.join(fitting or list(texts)[:3])
        raise UserError(
            f'the image-set list {path} is not in UTF-8, perhaps in {perhaps}, and '
            f'{"in each of these" if fitting else "in none"} all its images exist: save it as UTF-8'
        )
    (encoding, text) = fitting.popitem()
    readings.add(f'lists that are not in UTF-8, read as {encoding}', path.name)
    return _lines(text)


def _lines(text: str) -> list[str]:
    """Split at ends of lines alone: str.splitlines also splits at some characters of names."""
    return text.removeprefix('\ufeff').replace('\r\n', '\n').replace('\r', '\n').split('\n')


def _all_exist(lines: list[str], find: Callable[[str], str | None]) -> bool:
    return all(find(line.strip()) for line in lines if line.strip())

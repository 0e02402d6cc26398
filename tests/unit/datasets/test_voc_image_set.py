"""The lists of images, as tools and people write them."""

import pytest

from nst_det.datasets.readings import Readings
from nst_det.datasets.voc_image_set import read_image_set
from nst_det.errors import UserError
from nst_det.fileio.files_by_stem import IMAGE_SUFFIXES, FilesByStem

IMAGES = ['IMG 1.jpg', 'a.png', 'set b/c.JPG', 'k\xf6ter.jpg', '\u732b.jpg', 'cat 1.jpg']


@pytest.fixture
def read(tmp_path):
    """``read(text)`` gives the names in a list, and how they were read."""
    (tmp_path / 'images' / 'set b').mkdir(parents=True)
    for image in IMAGES:
        (tmp_path / 'images' / image).touch()

    def read_list(content, encoding='utf-8'):
        path, readings = tmp_path / 'train.txt', Readings()
        path.write_bytes(content.encode(encoding))
        images = FilesByStem(tmp_path / 'images', IMAGE_SUFFIXES)
        return read_image_set(path, images, readings), readings.lines()

    return read_list


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r', ' \n', '\t\n\n', '\xa0\n'])
def test_a_name_may_contain_spaces_and_folders(read, end):
    assert read(f'IMG 1{end}set b/c{end}') == (['IMG 1', 'set b/c'], [])


@pytest.mark.parametrize(
    ('line', 'name'),
    [
        ('"IMG 1"', 'IMG 1'),
        ("'IMG 1'", 'IMG 1'),
        ('a.png', 'a'),
        ('set b/c.JPG', 'set b/c'),
        ('set b\\c', 'set b/c'),
        ('"set b\\c.JPG"', 'set b/c'),
    ],
)
def test_quotation_marks_suffixes_and_backslashes_are_read_and_noted(read, line, name):
    names, notes = read(f'{line}\n')
    assert names == [name]
    assert len(notes) == 1 and notes[0].startswith('1 × image names')


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32'])
def test_unicode_needs_no_guess(read, encoding):
    assert read('IMG 1\nk\xf6ter\n\u732b\n', encoding) == (['IMG 1', 'k\xf6ter', '\u732b'], [])


@pytest.mark.parametrize(('name', 'encoding'), [('k\xf6ter', 'cp1252'), ('\u732b', 'shift_jis')])
def test_another_encoding_is_read_if_the_images_are_there(read, name, encoding):
    names, notes = read(f'IMG 1\n{name}\n', encoding)
    assert names == ['IMG 1', name]
    assert notes == [f'1 × lists that are not in UTF-8, read as {encoding}; the first in train.txt']


def test_an_encoding_in_doubt_is_an_error_that_names_encodings(read):
    with pytest.raises(UserError, match=r'is not in UTF-8, perhaps in cp1252 or .*save it as'):
        read('gar\xe7on\n', 'cp1252')


@pytest.mark.parametrize('line', ['IMG 1 -1', 'IMG 1  1', 'a 0'])
def test_a_list_of_a_class_is_refused(read, line):
    with pytest.raises(UserError, match='lists per class'):
        read(f'cat 1\n{line}\n')


def test_an_image_that_is_missing_keeps_its_name(read):
    assert read('no such image\n') == (['no such image'], [])


@pytest.mark.parametrize('line', ['/etc/passwd', '../a', 'b/../../a', '..\\..\\a', '\\a'])
def test_a_line_that_leads_out_is_refused(read, line):
    with pytest.raises(UserError, match='line 2 .* leads out of the devkit'):
        read(f'a\n{line}\n')

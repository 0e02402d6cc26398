"""Finding files by their names without the suffix."""

import pytest

from nst_det.errors import UserError
from nst_det.fileio.files_by_stem import IMAGE_SUFFIXES, FilesByStem


@pytest.fixture
def find(tmp_path):
    """``find(name, *files)`` looks for a name among these files."""

    def among(name, *files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return FilesByStem(tmp_path, IMAGE_SUFFIXES).find(name)

    return among


@pytest.mark.parametrize('suffix', ['.jpg', '.JPG', '.jpeg', '.png', '.Tiff', '.bmp', '.webp'])
def test_a_file_is_found_whatever_its_suffix(find, suffix):
    assert find('a.b', f'a.b{suffix}', 'a.txt', 'a.xml', 'a.jpg') == f'a.b{suffix}'


def test_what_is_not_there_or_no_image_is_not_found(find):
    assert find('a', 'b.jpg', 'a.txt', 'A.jpg', 'a', '.a.jpg') is None
    assert find('gone/a', 'a.jpg') is None


def test_a_file_in_a_folder_is_found(find):
    assert find('set b/deep/a 1', 'set b/deep/a 1.png', 'a 1.jpg') == 'set b/deep/a 1.png'


def test_two_files_of_one_name_are_an_error_that_names_both(find):
    with pytest.raises(UserError, match=r'has a\.JPG and a\.png: which of them'):
        find('a', 'a.JPG', 'a.png')


def test_an_accent_may_be_a_character_of_its_own(find):
    assert find('caf\xe9', 'cafe\u0301.jpg') == 'cafe\u0301.jpg'


def test_all_names_are_listed(find, tmp_path):
    find('', 'b.jpg', 'a/c.PNG', 'a/c.txt', '.trash/d.jpg')
    assert FilesByStem(tmp_path, IMAGE_SUFFIXES).stems() == ['a/c', 'b']

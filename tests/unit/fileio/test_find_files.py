"""Finding the files that a user names, before anything reads them."""

import os

import pytest

from nst_det.errors import UserError
from nst_det.fileio.find import (
    Devkit,
    check_checkpoint,
    find_checkpoint,
    find_devkits,
    find_image,
    find_work_dir,
)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_is_there_is_found(tmp_path):
    (tmp_path / 'file').touch()
    (tmp_path / 'VOCdevkit' / 'VOC2007').mkdir(parents=True)
    assert find_checkpoint('file').samefile('file')
    assert find_image('file').samefile('file')
    assert find_work_dir('VOCdevkit').samefile('VOCdevkit')
    years = [Devkit(tmp_path / 'VOCdevkit' / 'VOC2007', 'JPEGImages', 'Annotations')]
    assert find_devkits(tmp_path) == find_devkits(tmp_path / 'VOCdevkit') == years


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        (['Annotations/a.xml', 'JPEGImages/a.jpg'], [('.', 'JPEGImages', 'Annotations')]),
        (['Annotations/a.xml', 'images/a.jpg'], [('.', 'images', 'Annotations')]),
        (
            ['train/a.jpg', 'train/a.xml', 'valid/b.PNG', 'valid/b.xml'],
            [('train', '', ''), ('valid', '', '')],
        ),
        (['set/labels/a.xml', 'set/images/a.jpg'], [('set', 'images', 'labels')]),
    ],
    ids=['CVAT', 'Label Studio', 'Roboflow', 'images and labels'],
)
def test_the_folders_of_an_export_are_found(tmp_path, files, expected):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert find_devkits(tmp_path) == [Devkit(tmp_path / root, *subs) for root, *subs in expected]


def test_an_address_is_not_looked_for_on_this_machine():
    assert check_checkpoint('https://example.org/gone.pth') is None
    with pytest.raises(UserError, match='gone.pth does not exist'):
        check_checkpoint('gone.pth')


def test_a_checkpoint_is_a_plain_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path, message in [('.', 'is a folder'), ('pipe', 'is no plain file'), ('x', 'not exist')]:
        with pytest.raises(UserError, match=message):
            find_checkpoint(path)


@pytest.mark.parametrize('find', [find_image, find_work_dir, find_devkits])
def test_what_is_not_there_is_named(find, tmp_path):
    with pytest.raises(UserError, match=str(tmp_path / 'gone')):
        find('gone')

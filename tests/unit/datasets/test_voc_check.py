"""Checking a devkit."""

import re
import shutil
import tarfile
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from mmdet.registry import DATASETS

from nst_det.datasets.voc_check import check_devkit
from nst_det.errors import UserError


def faults_of(devkit):
    return check_devkit(devkit, subset=True).faults


def test_a_devkit_without_faults_has_none(devkit):
    check = check_devkit(devkit.parent, subset=True)
    assert check.faults == []
    assert [row[:3] for row in check.rows] == [
        ['VOC2007', name, images]
        for name, images in [('train', 6), ('val', 2), ('trainval', 8), ('test', 4)]
    ]
    assert '| VOC2007 | trainval | 8 ' in str(check)


def test_lists_of_another_length_than_vocs_are_a_fault_unless_subset_is_given(devkit):
    for path in (devkit / 'VOC2007' / 'Annotations').iterdir():
        path.write_text(re.sub('<name>[a-z]+', '<name>cat', path.read_text()))
    assert faults_of(devkit) == []
    faults = check_devkit(devkit).faults
    assert len(faults) == 4 and "test.txt lists 4 images, VOC's own 4952" in faults[3]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda year: (year / 'JPEGImages/000003.jpg').unlink(), 'lacks the image 000003'),
        (
            lambda year: (year / 'Annotations/000003.xml').unlink(),
            'lacks the annotation 000003.xml',
        ),
        (lambda year: (year / 'Annotations/000003.xml').write_text('<a>'), 'is not valid XML'),
        (lambda year: cut(year / 'JPEGImages/000003.jpg'), 'is truncated'),
        (
            lambda year: (year / 'JPEGImages/000003.jpg').write_bytes(b'GIF89a;'),
            'cannot be decoded',
        ),
        (lambda year: swap(year), 'but its annotation has'),
        (lambda year: shorten(year, 'trainval'), 'trainval.txt is not train.txt and val.txt'),
        (lambda year: repeat(year, 'test'), 'test.txt lists images more than once'),
    ],
)
def test_a_fault_is_one_line_with_its_file(devkit, damage, message):
    damage(devkit / 'VOC2007')
    faults = faults_of(devkit)
    assert len(faults) == 1 and message in faults[0] and str(devkit) in faults[0]


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def swap(year):
    path = year / 'Annotations/000003.xml'
    path.write_text(path.read_text().replace('<width>64', '<width>65'))


def shorten(year, name):
    path = year / f'ImageSets/Main/{name}.txt'
    path.write_text('\n'.join(path.read_text().split()[1:]))


def repeat(year, name):
    path = year / f'ImageSets/Main/{name}.txt'
    path.write_text(path.read_text() + path.read_text().split()[0])


def test_classes_counts_and_sizes_are_listed_and_proposed(devkit):
    shutil.rmtree(devkit / 'VOC2007' / 'ImageSets')
    names = Counter()
    for path in (devkit / 'VOC2007' / 'Annotations').iterdir():
        names.update(obj.findtext('name') for obj in ET.parse(path).findall('object'))
    check = check_devkit(devkit)
    assert {name: counts[0] for name, counts in check.classes.items()} == names
    assert check.rows == [['VOC2007', '(all images)', 12, '-', names.total(), *check.rows[0][5:]]]
    assert check.image_sizes == {(64, 64): 12}
    assert check.object_sizes.total() == names.total()
    assert check.metainfo() == f'metainfo = dict(classes={tuple(sorted(names))})'
    assert '64 x 64 (12)' in str(check)


def test_the_proposed_settings_read_the_devkit(devkit):
    check = check_devkit(devkit)
    exec(check.metainfo(), scope := {})
    lengths = [len(DATASETS.build(eval(settings, scope))) for settings in check.settings]
    assert lengths == [6, 2, 8, 4]


def test_two_spellings_of_a_class_are_a_hint_and_no_fault(devkit):
    path = devkit / 'VOC2007' / 'Annotations' / '000003.xml'
    path.write_text(re.sub('<name>[a-z]+', '<name>Traffic_Light', path.read_text()))
    path = devkit / 'VOC2007' / 'Annotations' / '000004.xml'
    path.write_text(re.sub('<name>[a-z]+', '<name>traffic light', path.read_text()))
    check = check_devkit(devkit)
    (hint,) = check.hints
    assert "'Traffic_Light' and 'traffic light' are different classes" in hint
    assert hint in str(check) and check.faults == []


def test_a_folder_without_a_devkit_is_an_error(tmp_path):
    with pytest.raises(UserError, match='holds no devkit'):
        check_devkit(tmp_path)


@pytest.mark.slow
def test_the_genuine_annotations_are_vocs_in_number(shared, tmp_path):
    year = tmp_path / 'VOC2007'
    with tarfile.open(shared / 'data' / 'voc2007_subset' / 'annotations_all_9963.tar.xz') as tar:
        tar.extractall(tmp_path, filter='data')
    (year / 'ImageSets').mkdir(parents=True)
    (tmp_path / 'Annotations_all').rename(year / 'Annotations')
    (tmp_path / 'ImageSets_Main_full').rename(year / 'ImageSets' / 'Main')
    check = check_devkit(tmp_path)
    # As VOC2007's own statistics say; there are no images here, which is all that is wrong.
    assert [row[1:7] for row in check.rows[:4]] == [
        ['train', 2501, 2501, 7844, 1543, 0],
        ['val', 2510, 2510, 7818, 1511, 0],
        ['trainval', 5011, 5011, 15662, 3054, 0],
        ['test', 4952, 4952, 14976, 2944, 0],
    ]
    kinds = Counter(re.sub(r'\d{6}$', '', fault) for fault in check.faults)
    assert kinds == {f'{year}/JPEGImages lacks the image ': 9963}

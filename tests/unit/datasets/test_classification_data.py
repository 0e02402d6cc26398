"""CIFAR and ImageNet, from small files of their exact formats."""

from pathlib import Path

import numpy as np
import pytest
from small_classification import WORDNET_IDS, write_cifar10, write_cifar100, write_imagenet
from torchvision.datasets import CIFAR10, CIFAR100

from nst_det.datasets import CIFAR10Dataset, CIFAR100Dataset, ImageNetDataset
from nst_det.errors import UserError

CIFARS = [(CIFAR10Dataset, CIFAR10, write_cifar10), (CIFAR100Dataset, CIFAR100, write_cifar100)]


@pytest.mark.parametrize(('kind', 'reader', 'write'), CIFARS)
def test_cifar_has_the_pixels_labels_and_classes_of_its_files(
    kind, reader, write, tmp_path, take_for_genuine
):
    pixels = write(tmp_path)
    take_for_genuine(reader, tmp_path)
    train, test = (kind(str(tmp_path), split) for split in ('train', 'test'))
    assert np.array_equal(np.stack([row['img'] for row in train]), pixels)
    assert (len(train), len(test)) == (10, 2 if kind is CIFAR10Dataset else 10)
    expected = [1, 2, 2, 3, 3, 4, 4, 5, 5, 6] if kind is CIFAR10Dataset else range(0, 100, 11)
    assert [row['gt_label'] for row in train] == list(expected)
    assert len(train.metainfo['classes']) == (10 if kind is CIFAR10Dataset else 100)


@pytest.mark.parametrize(('kind', 'reader', 'write'), CIFARS)
def test_a_file_of_cifar_that_is_missing_or_damaged_is_named(
    kind, reader, write, tmp_path, take_for_genuine
):
    with pytest.raises(UserError, match=f'{reader.train_list[0][0]} is not there: unpack') as error:
        kind(str(tmp_path), 'train')
    assert reader.filename in str(error.value) and '\n' not in str(error.value)
    write(tmp_path)
    take_for_genuine(reader, tmp_path)
    name = reader.test_list[0][0]
    with (tmp_path / reader.base_folder / name).open('ab') as stream:
        stream.write(b'.')
    with pytest.raises(UserError, match=f'{name} is damaged'):
        kind(str(tmp_path), 'test')


def imagenet(root, split='train', classes=WORDNET_IDS):
    pytest.importorskip('mmpretrain', reason='no mmpretrain, which reads ImageNet')
    return ImageNetDataset(str(root), split, metainfo=dict(classes=classes) if classes else None)


def test_imagenet_takes_the_folders_in_their_order_as_classes(tmp_path):
    write_imagenet(tmp_path)
    rows = list(imagenet(tmp_path, 'val'))
    assert [row['gt_label'] for row in rows] == [0, 0, 1, 1, 2, 2]
    assert Path(rows[2]['img_path']) == tmp_path / 'val/n01443537/n01443537_0.JPEG'


def test_imagenet_takes_the_classes_of_a_list_where_there_is_one(tmp_path):
    write_imagenet(tmp_path)
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/val.txt').write_text('n01484850/n01484850_1.JPEG 7\n')
    data = imagenet(tmp_path, 'val', classes=None)
    assert [row['gt_label'] for row in data] == [7]
    assert len(data.metainfo['classes']) == 1000


def test_missing_parts_of_imagenet_are_one_line(tmp_path):
    for fault in ('there is no folder .*/train', '.*/train holds 0 folders, expected one for each'):
        with pytest.raises(UserError, match=f'ImageNet: {fault}.*: put the images of') as error:
            imagenet(tmp_path)
        assert '\n' not in str(error.value)
        (tmp_path / 'train').mkdir(exist_ok=True)
    for name in WORDNET_IDS:
        (tmp_path / 'train' / name).mkdir()
    with pytest.raises(UserError, match='train holds no images'):
        imagenet(tmp_path)
    with pytest.raises(UserError, match='train holds 3 folders, expected one for each of 1000'):
        imagenet(tmp_path, classes=None)

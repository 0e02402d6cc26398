"""Exports of labelling tools in VOC's format, written as their documentation describes them."""

import logging

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from nst_det.datasets import VOCDevkitDataset, check_devkit
from nst_det.errors import UserError

CLASSES = ('Stop Sign', 'caf\xe9')
WIDTH, HEIGHT = 80, 60


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, content = cv2.imencode(path.suffix.lower(), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert ok
    path.write_bytes(content.tobytes())


def write_xml(path, text, encoding='utf-8'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def write_list(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines))


def label_img(root):
    """labelImg saves the XML beside the image, and no list; its size was 0 in some versions."""
    for name in ('IMG 1.JPG', 'IMG 2.png'):
        write_image(root / 'photos' / name)
        write_xml(
            (root / 'photos' / name).with_suffix('.xml'),
            f'<annotation verified="yes">\n\t<folder>photos</folder>\n\t<filename>{name}</filename>'
            f'\n\t<path>C:\\photos\\{name}</path>\n\t<source>\n\t\t<database>Unknown</database>\n'
            '\t</source>\n\t<size>\n\t\t<width>0</width>\n\t\t<height>0</height>\n\t\t<depth>3'
            '</depth>\n\t</size>\n\t<segmented>0</segmented>\n\t<object>\n\t\t<name>Stop Sign'
            '</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\t\t<Difficult>1'
            '</Difficult>\n\t\t<bndbox>\n\t\t\t<xmin>11</xmin>\n\t\t\t<ymin>21</ymin>\n\t\t\t<xmax>'
            '31</xmax>\n\t\t\t<ymax>41</ymax>\n\t\t</bndbox>\n\t</object>\n</annotation>\n',
        )
    return [dict(data_prefix=dict(sub_data_root='photos'), img_subdir='', ann_subdir='')]


def cvat(root):
    """CVAT has one folder for all, images in sub-folders, decimals, attributes; no XML if empty."""
    for name in ('set a/1', 'set a/2'):
        write_image(root / 'JPEGImages' / f'{name}.png')
    write_list(root / 'ImageSets' / 'Main' / 'default.txt', 'set a/1', 'set a/2')
    write_list(root / 'ImageSets' / 'Main' / 'Stop Sign_default.txt', '"set a/1"  1')
    write_xml(
        root / 'Annotations' / 'set a' / '1.xml',
        "<?xml version='1.0' encoding='UTF-8'?><annotation><folder></folder><filename>set a/1.png"
        '</filename><source><database>Unknown</database></source><size><width>80</width><height>60'
        '</height><depth></depth></size><segmented>0</segmented><object><name>Stop Sign</name>'
        '<truncated>0</truncated><difficult>False</difficult><occluded>0</occluded><bndbox><xmin>'
        '11.25</xmin><ymin>21.5</ymin><xmax>31.75</xmax><ymax>41.0</ymax></bndbox><attributes>'
        '<attribute><name>rotation</name><value>0.0</value></attribute></attributes></object>'
        '</annotation>',
    )
    return [dict(ann_file='ImageSets/Main/default.txt', negatives_without_xml=True)]


def label_studio(root):
    """Label Studio has the folders images and Annotations, and no list."""
    write_image(root / 'images' / '9ca8b9e4-caf\xe9 1.jpeg')
    write_xml(
        root / 'Annotations' / '9ca8b9e4-caf\xe9 1.xml',
        '<?xml version="1.0" encoding="utf-8"?>\n<annotation>\n<folder>images</folder>\n<source>\n'
        '<database>MyDatabase</database>\n<annotation>COCO2017</annotation>\n</source>\n<owner>\n'
        '<name>Label Studio</name>\n</owner>\n<size>\n<width>80</width>\n<height>60</height>\n'
        '<depth>3</depth>\n</size>\n<segmented>0</segmented>\n<object>\n<name>caf\xe9</name>\n'
        '<pose>Unspecified</pose>\n<truncated>0</truncated>\n<difficult>Unspecified</difficult>\n'
        '<bndbox>\n<xmin>11</xmin>\n<ymin>21</ymin>\n<xmax>31</xmax>\n<ymax>41</ymax>\n</bndbox>\n'
        '</object>\n</annotation>\n',
    )
    return [dict(img_subdir='images')]


def roboflow(root):
    """Roboflow has a folder for each set, with images and XML side by side."""
    settings = []
    for split in ('train', 'valid'):
        name = f'{split}_0001_jpg.rf.0a1b2c'
        write_image(root / split / f'{name}.jpg')
        write_xml(
            root / split / f'{name}.xml',
            f'<annotation>\n\t<folder></folder>\n\t<filename>{name}.jpg</filename>\n\t<path>{name}'
            '.jpg</path>\n\t<source>\n\t\t<database>roboflow.com</database>\n\t</source>\n\t<size>'
            '\n\t\t<width>80</width>\n\t\t<height>60</height>\n\t\t<depth>3</depth>\n\t</size>\n\t'
            '<segmented>0</segmented>\n\t<object>\n\t\t<name>Stop Sign</name>\n\t\t<pose>'
            'Unspecified</pose>\n\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t'
            '<occluded>0</occluded>\n\t\t<bndbox>\n\t\t\t<xmin>11</xmin>\n\t\t\t<xmax>31</xmax>\n'
            '\t\t\t<ymin>21</ymin>\n\t\t\t<ymax>41</ymax>\n\t\t</bndbox>\n\t\t<polygon>\n\t\t\t<x1>'
            '11</x1>\n\t\t\t<y1>21</y1>\n\t\t</polygon>\n\t</object>\n</annotation>\n',
        )
        settings.append(dict(data_prefix=dict(sub_data_root=split), img_subdir='', ann_subdir=''))
    write_list(root / 'README.roboflow.txt', 'exported')
    return settings


EXPORTS = [label_img, cvat, label_studio, roboflow]


@pytest.fixture
def log():
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, keep = MMLogger.get_instance('test_voc_exports'), Keep()
    logger.addHandler(keep)
    yield lines
    logger.removeHandler(keep)


@pytest.mark.parametrize('write', EXPORTS, ids=lambda write: write.__name__)
def test_an_export_is_read_completely(tmp_path, write):
    for settings in write(tmp_path):
        dataset = VOCDevkitDataset(
            data_root=tmp_path,
            metainfo=dict(classes=CLASSES),
            pipeline=[dict(type='LoadVerifiedImage')],
            **settings,
        )
        boxes = [obj['bbox'] for image in dataset for obj in image['instances']]
        assert boxes and set(map(tuple, boxes)) == {(10, 20, 30, 40)}
        assert all(image['img_shape'] == (HEIGHT, WIDTH) for image in dataset)
        assert (dataset[0]['width'], dataset[0]['height']) == (WIDTH, HEIGHT)


@pytest.mark.parametrize('write', EXPORTS, ids=lambda write: write.__name__)
def test_the_check_of_an_export_proposes_its_classes_and_settings(tmp_path, write):
    expected = write(tmp_path)
    check = check_devkit(tmp_path, negatives_without_xml=True)
    assert check.faults == []
    exec(check.metainfo(), scope := {})
    assert set(scope['metainfo']['classes']) <= set(CLASSES)
    assert len(check.settings) == len(expected)
    for settings in check.settings:
        arguments = eval(settings, scope)
        assert arguments.pop('type') == 'VOCDevkitDataset'
        assert len(VOCDevkitDataset(**arguments)) > 0


def test_what_is_read_otherwise_than_written_is_counted_in_the_log(tmp_path, log):
    (settings,) = label_img(tmp_path)
    VOCDevkitDataset(data_root=tmp_path, metainfo=dict(classes=CLASSES), **settings)
    assert any('2 × annotations without a usable <size>' in line for line in log)


def test_an_image_without_an_annotation_is_an_error_unless_it_is_asked_for(tmp_path, log):
    (settings,) = cvat(tmp_path)
    arguments = {**settings, 'data_root': tmp_path, 'metainfo': dict(classes=CLASSES)}
    dataset = VOCDevkitDataset(**arguments, filter_cfg=dict(filter_empty_gt=False))
    assert [len(dataset.get_data_info(i)['instances']) for i in range(len(dataset))] == [1, 0]
    assert any('1 × images without an annotation, used as negatives' in line for line in log)
    arguments['negatives_without_xml'] = False
    with pytest.raises(UserError, match=r'lacks the annotations set a/2 .*negatives_without_xml'):
        VOCDevkitDataset(**arguments)


def test_an_export_without_years_is_found_where_it_is(tmp_path):
    cvat(tmp_path)
    with pytest.raises(UserError, match=r"JPEGImages is in .*=dict\(sub_data_root=''\)") as caught:
        VOCDevkitDataset(
            data_root=tmp_path,
            data_prefix=dict(sub_data_root='VOC2007/'),
            ann_file='ImageSets/Main/default.txt',
            metainfo=dict(classes=CLASSES),
        )
    assert 'no VOC devkit at' in str(caught.value)


def test_annotations_that_are_all_missing_are_an_error(tmp_path):
    (settings,) = cvat(tmp_path)
    (tmp_path / 'Annotations' / 'set a').rename(tmp_path / 'Annotations' / 'set b')
    with pytest.raises(UserError, match='has none of the 2 annotations'):
        VOCDevkitDataset(data_root=tmp_path, metainfo=dict(classes=CLASSES), **settings)


def test_an_image_of_two_suffixes_is_an_error(tmp_path):
    (settings,) = cvat(tmp_path)
    write_image(tmp_path / 'JPEGImages' / 'set a' / '1.jpg')
    with pytest.raises(UserError, match=r'has 1\.jpg and 1\.png'):
        VOCDevkitDataset(data_root=tmp_path, metainfo=dict(classes=CLASSES), **settings)


def test_a_size_is_read_as_the_pipeline_turns_the_image(tmp_path):
    (settings,) = label_img(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'photos' / 'IMG 1.JPG', exif=exif)
    sizes = {'color': (HEIGHT, WIDTH), 'color_ignore_orientation': (WIDTH, HEIGHT)}
    for flag, (width, height) in sizes.items():
        image = VOCDevkitDataset(
            data_root=tmp_path,
            metainfo=dict(classes=CLASSES),
            pipeline=[dict(type='LoadVerifiedImage', color_type=flag)],
            **settings,
        )[0]
        assert (image['width'], image['height']) == (width, height)


def test_classes_that_are_left_out_are_proposed(tmp_path, log):
    (settings,) = label_img(tmp_path)
    VOCDevkitDataset(data_root=tmp_path, metainfo=dict(classes=('cat',)), **settings)
    (line,) = (line for line in log if 'left out' in line)
    assert "metainfo=dict(classes=('cat', 'Stop Sign'))" in line

import logging
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets import VOCDataset
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger

from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset
from nst_det.errors import UserError
from nst_det.evaluation import VOCDevkitMetric


def build(devkit, image_set='trainval', classes=SHAPE_CLASSES, **kwargs):
    return VOCDevkitDataset(
        data_root=str(devkit),
        ann_file=f'VOC2007/ImageSets/Main/{image_set}.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        **(dict(metainfo=dict(classes=classes)) if classes else {}),
        **kwargs,
    )


def fault_of(*args, **kwargs):
    """The one line that a devkit's fault is message in."""
    with pytest.raises(UserError) as caught:
        build(*args, **kwargs)
    message = str(caught.value)
    assert '\n' not in message
    return message


def edit_xml(devkit, image_id, edit):
    path = devkit / 'VOC2007' / 'Annotations' / f'{image_id}.xml'
    tree = ET.parse(path)
    edit(tree.getroot())
    tree.write(path)
    return str(path)


def set_box(root, **sides):
    for side, value in sides.items():
        root.find(f'object/bndbox/{side}').text = str(value)


@pytest.fixture
def log():
    """What is logged, as a list of lines."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, keep = MMLogger.get_instance('test_voc_devkit'), Keep()
    logger.addHandler(keep)
    yield lines
    logger.removeHandler(keep)


def test_it_is_built_from_a_config(shapes):
    dataset = DATASETS.build(
        dict(
            type='VOCDevkitDataset',
            data_root=str(shapes),
            ann_file='VOC2007/ImageSets/Main/test.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            metainfo=dict(classes=SHAPE_CLASSES),
            test_mode=True,
        )
    )
    assert len(dataset) == 4


def test_it_reads_what_voc_dataset_reads(shapes):
    ours = build(shapes, serialize_data=False)
    theirs = VOCDataset(
        data_root=str(shapes),
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        serialize_data=False,
    )
    assert ours.data_list == theirs.data_list


@pytest.mark.parametrize('image_set', ['trainval', 'test'])
def test_it_reads_genuine_voc_as_voc_dataset_does(shared, image_set):
    where = dict(
        data_root=str(shared / 'data' / 'voc2007_subset' / 'VOCdevkit'),
        ann_file=f'VOC2007/ImageSets/Main/{image_set}.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        serialize_data=False,
        test_mode=image_set == 'test',
    )
    ours, theirs = VOCDevkitDataset(**where), VOCDataset(**where)
    assert len(ours) == {'trainval': 1594, 'test': 1000}[image_set]
    assert ours.data_list == theirs.data_list
    assert ours.metainfo == theirs.metainfo


def test_difficult_objects_are_flagged_to_be_ignored(devkit):
    edit_xml(devkit, '000001', lambda root: setattr(root.find('object/difficult'), 'text', '1'))
    edit_xml(devkit, '000002', lambda root: setattr(root.find('object/difficult'), 'text', '0'))
    dataset = build(devkit)
    assert dataset.get_data_info(0)['instances'][0]['ignore_flag'] == 1
    assert dataset.get_data_info(1)['instances'][0]['ignore_flag'] == 0


# The devkit's folders and lists


def test_a_missing_devkit_names_the_folder_its_content_and_how_to_get_it(tmp_path):
    (tmp_path / 'photos').mkdir()
    message = fault_of(tmp_path / 'data' / 'VOCdevkit', classes=None)
    assert f'no VOC devkit at {tmp_path}/data/VOCdevkit/VOC2007' in message
    assert f'{tmp_path} holds photos' in message
    assert f"prepare_devkit('{tmp_path}/data', ['2007'])" in message


def test_a_missing_test_set_tells_how_to_get_the_test_set(devkit):
    (devkit / 'VOC2007' / 'ImageSets' / 'Main' / 'test.txt').unlink()
    message = fault_of(devkit, 'test', classes=None)
    assert f'no image-set list {devkit}/VOC2007/ImageSets/Main/test.txt' in message
    assert "prepare_devkit('" in message


def test_missing_shapes_tell_how_to_draw_them(tmp_path):
    message = fault_of(tmp_path / 'VOCdevkit')
    assert f"make_shapes_devkit('{tmp_path}')" in message


@pytest.mark.parametrize('wrong', ['.', 'VOCdevkit/VOC2007', 'VOC'])
def test_a_wrong_data_root_near_the_devkit_is_corrected(devkit, wrong):
    assert f"set data_root='{devkit}/'" in fault_of(devkit.parent / wrong)


@pytest.mark.parametrize('folder', ['JPEGImages', 'Annotations'])
def test_an_incomplete_devkit_names_what_it_lacks(devkit, folder):
    shutil.rmtree(devkit / 'VOC2007' / folder)
    assert f'the VOC devkit at {devkit}/VOC2007 is incomplete: it lacks {folder}' in fault_of(
        devkit
    )


def test_a_misspelt_image_set_names_the_nearest(devkit):
    message = fault_of(devkit, 'trainvl')
    assert re.search(r"Main/trainvl\.txt: did you mean 'trainval'", message)


def test_an_empty_image_set_is_an_error(devkit):
    path = devkit / 'VOC2007' / 'ImageSets' / 'Main' / 'trainval.txt'
    path.write_text('\n')
    assert f'the image-set list {path} is empty' in fault_of(devkit)


def test_a_list_per_class_is_not_an_image_set(devkit):
    assert re.search(
        r"line 1 of the image-set list .*circle_test\.txt is '0000", fault_of(devkit, 'circle_test')
    )


def test_blank_lines_in_an_image_set_do_not_matter(devkit):
    path = devkit / 'VOC2007' / 'ImageSets' / 'Main' / 'trainval.txt'
    path.write_text('000001 \r\n\n000002\n\n')
    assert len(build(devkit)) == 2


def test_listed_images_that_are_missing_are_named(devkit):
    for image_id in ('000002', '000005'):
        (devkit / 'VOC2007' / 'JPEGImages' / f'{image_id}.jpg').unlink()
    message = fault_of(devkit)
    assert 'JPEGImages lacks the images 000002, 000005 of the 8' in message


def test_a_file_that_has_no_suffix_of_an_image_is_named(devkit):
    image = devkit / 'VOC2007' / 'JPEGImages' / '000002.jpg'
    image.rename(image.with_suffix('.dng'))
    assert '000002.dng is there, which has no suffix of an image' in fault_of(devkit)


def test_a_missing_annotation_is_named(devkit):
    (devkit / 'VOC2007' / 'Annotations' / '000003.xml').unlink()
    message = fault_of(devkit)
    assert 'Annotations lacks the annotations 000003' in message
    assert 'negatives_without_xml=True' in message


# The annotations


def test_a_truncated_annotation_is_named(devkit):
    path = devkit / 'VOC2007' / 'Annotations' / '000003.xml'
    path.write_text(path.read_text()[:200])
    assert f'the annotation {path} is not valid XML' in fault_of(devkit)


def test_an_empty_annotation_is_named(devkit):
    path = devkit / 'VOC2007' / 'Annotations' / '000003.xml'
    path.write_text('')
    assert f'the annotation {path} is empty' in fault_of(devkit)


@pytest.mark.parametrize(
    ('parent', 'child', 'message'),
    [
        ('object', 'name', 'has no <name> in object 1'),
        ('object', 'bndbox', "has no <bndbox> in object 1 ('"),
        ('object/bndbox', 'ymax', "has no <ymax> in object 1 ('"),
    ],
)
def test_a_missing_field_is_named_with_its_file(devkit, parent, child, message):
    def drop(root):
        parent_element = root.find(parent)
        parent_element.remove(parent_element.find(child))

    path = edit_xml(devkit, '000004', drop)
    assert f'the annotation {path} {message}' in fault_of(devkit)


@pytest.mark.parametrize(
    ('field', 'text', 'message'),
    [
        ('object/bndbox/xmin', 'nan', "has 'nan' as <xmin> in object 1 ('"),
        ('object/bndbox/xmin', '', "has '' as <xmin> in object 1 ('"),
        ('object/difficult', '\nvery', "has '\\nvery' as <difficult> in object 1"),
    ],
)
def test_a_field_that_is_no_number_is_named_with_its_file(devkit, field, text, message):
    path = edit_xml(devkit, '000004', lambda root: setattr(root.find(field), 'text', text))
    assert f'the annotation {path} {message}' in fault_of(devkit)


def test_a_box_without_area_is_named_with_its_file(devkit):
    path = edit_xml(devkit, '000004', lambda root: set_box(root, xmin=30, xmax=30))
    message = fault_of(devkit)
    assert f'the annotation {path} has a box without area in object 1' in message
    assert '(30, ' in message


def test_a_box_outside_its_image_is_named_with_its_file(devkit):
    path = edit_xml(devkit, '000004', lambda root: set_box(root, xmin=100, xmax=130))
    assert f'the annotation {path} has a box outside the image in object 1' in fault_of(devkit)


def test_a_box_that_extends_beyond_its_image_is_kept_and_logged(devkit, log):
    edit_xml(devkit, '000001', lambda root: set_box(root, xmin=0))
    dataset = build(devkit)
    assert dataset.get_data_info(0)['instances'][0]['bbox'][0] == -1
    assert any('1 boxes' in line and "000001.xml '" in line for line in log)


def test_all_faulty_annotations_are_named_at_once(devkit):
    for image_id in ('000002', '000004', '000007'):
        (devkit / 'VOC2007' / 'Annotations' / f'{image_id}.xml').write_text('')
    message = fault_of(devkit)
    assert '000002.xml is empty' in message
    assert '(and faults in 000004, 000007)' in message


def test_objects_of_unlisted_classes_are_counted_in_the_log(devkit, log):
    edit_xml(devkit, '000001', lambda root: setattr(root.find('object/name'), 'text', 'Circle'))
    build(devkit)
    left_out = [line for line in log if 'left out' in line]
    assert len(left_out) == 1
    assert '1 objects in' in left_out[0]
    assert "'Circle' (1)" in left_out[0]


# The config


def test_a_training_set_that_the_filter_empties_is_an_error(shapes):
    message = fault_of(shapes, classes=('zebra',), filter_cfg=dict(filter_empty_gt=True))
    assert 'leaves none of the 8 images' in message
    assert "the classes are zebra; the annotations name '" in message


def test_images_that_the_filter_leaves_out_are_counted_in_the_log(devkit, log):
    edit_xml(devkit, '000001', lambda root: [root.remove(obj) for obj in root.findall('object')])
    assert len(build(devkit, filter_cfg=dict(filter_empty_gt=True))) == 7
    assert any(line.startswith('1 of the 8 images') for line in log)


@pytest.mark.parametrize('option', ['ann_file', 'data_root'])
def test_a_list_of_paths_is_an_error_that_names_concat_dataset(shapes, option):
    arguments = dict(
        data_root=str(shapes),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
    )
    arguments[option] = [arguments[option], arguments[option]]
    with pytest.raises(UserError, match='ConcatDataset') as caught:
        VOCDevkitDataset(**arguments)
    assert caught.value.option == option


def test_paths_may_be_path_objects(shapes):
    dataset = VOCDevkitDataset(
        data_root=shapes,
        ann_file=Path('VOC2007/ImageSets/Main/test.txt'),
        data_prefix=dict(sub_data_root=Path('VOC2007/')),
        metainfo=dict(classes=SHAPE_CLASSES),
    )
    assert len(dataset) == 4


def test_classes_given_as_a_string_are_an_error(shapes):
    assert "write classes=('circle',)" in fault_of(shapes, classes='circle')


def test_a_class_listed_twice_is_an_error(shapes):
    assert "the class 'star' more than once" in fault_of(shapes, classes=('star', 'star'))


def test_a_remote_devkit_is_refused(shapes):
    assert "type='VOCDataset'" in fault_of(shapes, backend_args=dict(backend='petrel'))


def test_a_data_prefix_without_sub_data_root_is_an_error(shapes):
    with pytest.raises(UserError, match='has no sub_data_root'):
        VOCDevkitDataset(
            data_root=str(shapes),
            ann_file='VOC2007/ImageSets/Main/test.txt',
            data_prefix=dict(img='VOC2007/'),
        )


def test_the_smallest_box_size_cannot_be_set_for_testing(shapes):
    message = fault_of(shapes, 'test', test_mode=True, filter_cfg=dict(bbox_min_size=32))
    assert 'bbox_min_size' in message


def test_objects_that_their_size_makes_background_are_counted_in_a_warning(shapes, log):
    def training_set(**filter_cfg):
        dataset = VOCDevkitDataset(
            data_root=str(shapes),
            ann_file='VOC2007/ImageSets/Main/trainval.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            metainfo=dict(classes=SHAPE_CLASSES),
            filter_cfg=filter_cfg,
        )
        lines = [line for line in log if 'bbox_min_size' in line]
        log.clear()
        return dataset, lines

    plain, lines = training_set()
    assert lines == []
    objects = [
        obj
        for i in range(len(plain))
        for obj in plain.get_data_info(i)['instances']
        if not obj['ignore_flag']
    ]
    sides = sorted(min(b[2] - b[0], b[3] - b[1]) for b in (obj['bbox'] for obj in objects))
    least = sides[len(sides) // 2]
    small = sum(side < least for side in sides)
    assert 0 < small < len(sides)
    _, (line,) = training_set(bbox_min_size=least)
    assert line.startswith(f'{small} objects in ')
    assert 'leave bbox_min_size out' in line


# The evaluation


def evaluate(dataset, detect):
    """The VOC metric over detections made of each image's ground truth."""
    metric = VOCDevkitMetric(eval_mode='11points')
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        instances = dataset.get_data_info(index)['instances']
        boxes = torch.tensor([obj['bbox'] for obj in instances], dtype=torch.float)
        labels = torch.tensor([obj['bbox_label'] for obj in instances])
        ignore = torch.tensor([obj['ignore_flag'] for obj in instances], dtype=torch.bool)
        shown = detect(ignore)
        metric.process(
            {},
            [
                dict(
                    gt_instances=dict(bboxes=boxes[~ignore], labels=labels[~ignore]),
                    ignored_instances=dict(bboxes=boxes[ignore], labels=labels[ignore]),
                    pred_instances=dict(
                        bboxes=boxes[shown], labels=labels[shown], scores=torch.ones(shown.sum())
                    ),
                )
            ],
        )
    return metric.evaluate(len(dataset))['pascal_voc/mAP']


@pytest.fixture
def with_difficult(devkit):
    edit_xml(devkit, '000001', lambda root: setattr(root.find('object/difficult'), 'text', '1'))
    return build(devkit)


def test_perfect_detections_have_map_1(with_difficult):
    assert evaluate(with_difficult, detect=torch.ones_like) == pytest.approx(1)


def test_difficult_objects_need_not_be_detected(with_difficult):
    assert evaluate(with_difficult, detect=lambda ignore: ~ignore) == pytest.approx(1)


def test_no_detections_have_map_0(with_difficult):
    assert evaluate(with_difficult, detect=torch.zeros_like) == 0


def test_the_table_of_the_evaluation_has_the_names_of_the_classes(with_difficult, log):
    evaluate(with_difficult, detect=torch.ones_like)
    table = '\n'.join(log)
    assert all(name in table for name in SHAPE_CLASSES)
    assert 'aeroplane' not in table


def test_more_classes_than_voc_drop_its_palette(shapes):
    names = (*SHAPE_CLASSES, *(f'class {i}' for i in range(20)))
    assert 'palette' not in build(shapes, classes=names).metainfo
    assert len(build(shapes, classes=SHAPE_CLASSES).metainfo['palette']) >= 4


def test_boxes_are_those_of_the_xml(shapes):
    dataset = build(shapes)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        boxes = [
            [int(obj.find(f'bndbox/{side}').text) - 1 for side in ('xmin', 'ymin', 'xmax', 'ymax')]
            for obj in ET.parse(info['xml_path']).findall('object')
        ]
        np.testing.assert_array_equal([obj['bbox'] for obj in info['instances']], boxes)


@pytest.mark.parametrize('line', ['../../../etc/passwd', '/etc/passwd', 'a/../../b'])
def test_a_list_that_leads_out_of_the_devkit_is_an_error(devkit, line):
    path = devkit / 'VOC2007' / 'ImageSets' / 'Main' / 'trainval.txt'
    path.write_text(f'000001\n{line}\n')
    assert f"line 2 of the image-set list {path} is '{line}', which leads out" in fault_of(devkit)

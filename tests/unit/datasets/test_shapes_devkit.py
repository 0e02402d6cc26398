import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from locations import TOOLS
from PIL import Image

from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset, make_shapes_devkit
from nst_det.datasets.shape_pictures import draw_shape_picture
from nst_det.errors import UserError

TOOL = TOOLS / 'make_shapes_voc.py'


def contents(devkit):
    return {
        path.relative_to(devkit): path.read_bytes() for path in devkit.rglob('*') if path.is_file()
    }


def image_set(devkit, name):
    return (devkit / 'VOC2007' / 'ImageSets' / 'Main' / f'{name}.txt').read_text().splitlines()


def test_the_same_seed_draws_the_same_devkit(shapes, tmp_path):
    assert contents(make_shapes_devkit(tmp_path, 8, 4, image_size=64, seed=1)) == contents(shapes)


def test_another_seed_draws_other_pictures(shapes, tmp_path):
    other = make_shapes_devkit(tmp_path, 8, 4, image_size=64, seed=2)
    image = Path('VOC2007', 'JPEGImages', '000001.jpg')
    assert contents(other)[image] != contents(shapes)[image]


def test_the_test_pictures_do_not_depend_on_how_many_are_trained_on(shapes, tmp_path):
    fewer = make_shapes_devkit(tmp_path, 2, 4, image_size=64, seed=1)
    assert (fewer / 'VOC2007/JPEGImages/000003.jpg').read_bytes() == (
        shapes / 'VOC2007/JPEGImages/000009.jpg'
    ).read_bytes()


def test_trainval_is_train_and_val_and_shares_no_image_with_test(shapes):
    train, val, trainval, test = (
        image_set(shapes, name) for name in ('train', 'val', 'trainval', 'test')
    )
    assert sorted(train + val) == trainval
    assert (len(train), len(val), len(test)) == (6, 2, 4)
    assert not set(trainval) & set(test)


def test_the_lists_per_class_mark_presence_as_voc_does(tmp_path):
    shapes = make_shapes_devkit(tmp_path, 8, 4, image_size=64, seed=2)  # has all three marks
    dataset = VOCDevkitDataset(
        data_root=str(shapes),
        ann_file='VOC2007/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
    )
    seen = set()
    for label, name in enumerate(SHAPE_CLASSES):
        for index, line in enumerate(image_set(shapes, f'{name}_trainval')):
            info = dataset.get_data_info(index)
            flags = [o['ignore_flag'] for o in info['instances'] if o['bbox_label'] == label]
            mark = -1 if not flags else 0 if all(flags) else 1
            assert line == f'{info["img_id"]} {mark:2d}'
            seen.add(mark)
    assert seen == {-1, 0, 1}


def test_images_have_the_given_size(shapes):
    with Image.open(shapes / 'VOC2007' / 'JPEGImages' / '000001.jpg') as image:
        assert image.size == (64, 64)


def test_the_same_devkit_is_used_again(devkit):
    image = devkit / 'VOC2007' / 'JPEGImages' / '000001.jpg'
    image.write_bytes(b'touched')
    assert make_shapes_devkit(devkit.parent, 8, 4, image_size=64, seed=1) == devkit
    assert image.read_bytes() == b'touched'


@pytest.mark.parametrize(
    'spoil',
    [
        lambda devkit: (devkit / 'shapes.json').unlink(),
        lambda devkit: (devkit / 'shapes.json').write_text('{"seed": 7}'),
        lambda devkit: (devkit / 'VOC2007' / 'JPEGImages' / '000001.jpg').unlink(),
    ],
    ids=['foreign', 'other parameters', 'incomplete'],
)
def test_any_other_folder_is_never_overwritten(devkit, spoil):
    spoil(devkit)
    before = contents(devkit)
    with pytest.raises(UserError, match=re.escape(str(devkit))):
        make_shapes_devkit(devkit.parent, 8, 4, image_size=64, seed=1)
    assert contents(devkit) == before


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, 'save', interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_shapes_devkit(tmp_path, 2, 1, image_size=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'wrong', [dict(num_train=1), dict(num_test=0), dict(image_size=8), dict(seed=-1)], ids=str
)
def test_a_parameter_out_of_range_is_named(tmp_path, wrong):
    with pytest.raises(UserError) as caught:
        make_shapes_devkit(tmp_path, **wrong)
    assert [caught.value.option] == list(wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope='module')
def pictures():
    return [draw_shape_picture(160, np.random.default_rng(i)) for i in range(100)]


def test_pictures_hold_one_to_five_objects_inside_them(pictures):
    for _, objects in pictures:
        assert 1 <= len(objects) <= 5
        for obj in objects:
            xmin, ymin, xmax, ymax = obj.box
            assert 1 <= xmin < xmax <= 160
            assert 1 <= ymin < ymax <= 160


def test_all_classes_are_about_as_frequent(pictures):
    names = [obj.name for _, objects in pictures for obj in objects]
    shares = [names.count(name) / len(names) for name in SHAPE_CLASSES]
    assert min(shares) > 0.18
    assert max(shares) < 0.32


def test_few_objects_are_difficult(pictures):
    flags = [obj.difficult for _, objects in pictures for obj in objects]
    assert 0.02 < np.mean(flags) < 0.2


def test_tiny_objects_are_difficult(pictures):
    for _, objects in pictures:
        for obj in objects:
            if max(obj.box[2] - obj.box[0], obj.box[3] - obj.box[1]) < 12:
                assert obj.difficult


def test_mostly_hidden_objects_are_difficult(pictures):
    large = [
        obj
        for _, objects in pictures
        for obj in objects
        if obj.difficult and max(obj.box[2] - obj.box[0], obj.box[3] - obj.box[1]) > 45
    ]
    assert large
    assert all(obj.truncated for obj in large)


def test_colour_does_not_tell_the_class(pictures):
    """The nearest class by mean colour is right about as often as by chance."""
    colours, labels = [], []
    for picture, objects in pictures:
        for obj in objects:
            xmin, ymin, xmax, ymax = obj.box
            x, y = (xmin + xmax) // 2, (ymin + ymax) // 2
            colours.append(picture[y - 3 : y + 3, x - 3 : x + 3].reshape(-1, 3).mean(0))
            labels.append(SHAPE_CLASSES.index(obj.name))
    colours, labels = np.array(colours), np.array(labels)
    half = len(labels) // 2
    means = np.stack([colours[:half][labels[:half] == k].mean(0) for k in range(4)])
    guesses = np.linalg.norm(colours[half:, None] - means, axis=2).argmin(1)
    assert (guesses == labels[half:]).mean() < 0.4


def test_the_tool_reports_a_fault_in_one_line(devkit, warm_python):
    done = subprocess.run(
        [warm_python, TOOL, devkit.parent], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith('error: ')
    assert str(devkit) in done.stderr
    assert done.stderr.count('\n') == 1

"""A small VOC devkit of drawn shapes, on which a detector trains within minutes."""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from nst_det.config.validators import check_integer
from nst_det.datasets.shape_pictures import SHAPE_CLASSES, ShapeObject, draw_shape_picture
from nst_det.errors import UserError

RECIPE = 2  # increase it when a change of the code changes the pictures of the same parameters
MARKER = 'shapes.json'


def make_shapes_devkit(
    out_dir: str | Path,
    num_train: int = 200,
    num_test: int = 100,
    image_size: int = 160,
    seed: int = 0,
) -> Path:
    """Draw a devkit of coloured, textured shapes on soft backgrounds.

    It has the layout of VOC2007, its XML fields (boxes of the visible part, counted from 1;
    ``truncated`` and ``difficult`` flags) and its image-set lists, including those for each class.
    The colours and textures of all classes come from one distribution, so
    that only the shape tells the class. Tiny and mostly hidden objects are marked difficult.

    A picture depends only on the seed, the image size and its number. A devkit that was made with
    the same parameters is used again; any other existing folder is an error.

    Args:
        out_dir (str | Path): The folder in which ``VOCdevkit/VOC2007`` is made.
        num_train (int): The number of images in ``trainval.txt``. Three in four of them are in
            ``train.txt``, the others in ``val.txt``. Defaults to 200.
        num_test (int): The number of images in ``test.txt``. Defaults to 100.
        image_size (int): Width and height of the images in pixels. Defaults to 160.
        seed (int): The random seed. Defaults to 0.

    Returns:
        Path: The ``VOCdevkit`` folder, for ``data_root``.

    Raises:
        UserError: If a parameter is out of range, or ``VOCdevkit`` exists with other content.
    """
    check_integer('num_train', num_train, 2)
    check_integer('num_test', num_test, 1)
    check_integer('image_size', image_size, 64)
    check_integer('seed', seed, 0)
    out_dir = Path(out_dir)
    devkit = out_dir / 'VOCdevkit'
    parameters = dict(
        recipe=RECIPE, num_train=num_train, num_test=num_test, image_size=image_size, seed=seed
    )
    if devkit.exists():
        _check_reusable(devkit, parameters)
        return devkit
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.VOCdevkit-', dir=out_dir) as beside:
            unfinished = Path(beside, 'VOCdevkit')
            _write_devkit(unfinished, num_train, num_test, image_size, seed)
            (unfinished / MARKER).write_text(json.dumps(parameters) + '\n')
            if devkit.exists():  # another process was faster
                _check_reusable(devkit, parameters)
            else:
                unfinished.rename(devkit)
    except OSError as error:
        raise UserError(f'cannot write the devkit {devkit.absolute()}: {error}') from error
    return devkit


def _check_reusable(devkit: Path, parameters: dict) -> None:
    """Check that an existing folder is a complete devkit with these parameters."""
    where = devkit.absolute()
    remedy = 'choose another folder, or move this one away'
    try:
        made_with = json.loads((devkit / MARKER).read_text())
    except (OSError, ValueError):
        raise UserError(f'{where} exists and is not a devkit of shapes: {remedy}') from None
    if made_with != parameters:
        raise UserError(
            f'{where} holds shapes made with {_spell(made_with)}, expected '
            f'{_spell(parameters)}: {remedy}'
        )
    year = devkit / 'VOC2007'
    expected = parameters['num_train'] + parameters['num_test']
    for folder, pattern in ((year / 'JPEGImages', '*.jpg'), (year / 'Annotations', '*.xml')):
        found = len(list(folder.glob(pattern)))
        if found != expected:
            raise UserError(f'{folder.absolute()} has {found} of {expected} files: {remedy}')


def _spell(parameters: dict) -> str:
    return ', '.join(f'{name}={value}' for name, value in parameters.items())


def _write_devkit(devkit: Path, num_train: int, num_test: int, image_size: int, seed: int) -> None:
    """Draw and write all images, annotations and lists."""
    year = devkit / 'VOC2007'
    image_sets = year / 'ImageSets' / 'Main'
    for folder in (year / 'JPEGImages', year / 'Annotations', image_sets):
        folder.mkdir(parents=True)
    jobs = [('trainval', i) for i in range(num_train)] + [('test', i) for i in range(num_test)]
    members: dict[str, list[str]] = {name: [] for name in ('train', 'val', 'trainval', 'test')}
    objects: dict[str, list[ShapeObject]] = {}
    for number, (image_set, i) in enumerate(jobs, start=1):
        image_id = f'{number:06d}'
        rng = np.random.default_rng([seed, image_set == 'test', i, image_size])
        picture, objects[image_id] = draw_shape_picture(image_size, rng)
        Image.fromarray(picture).save(
            year / 'JPEGImages' / f'{image_id}.jpg', quality=92, subsampling=0
        )
        (year / 'Annotations' / f'{image_id}.xml').write_text(
            _annotation_xml(image_id, image_size, objects[image_id])
        )
        members[image_set].append(image_id)
        if image_set == 'trainval':
            members['val' if i % 4 == 1 else 'train'].append(image_id)
        if number % 100 == 0:
            print(f'drew {number} of {len(jobs)} images', flush=True)
    for image_set, image_ids in members.items():
        (image_sets / f'{image_set}.txt').write_text(''.join(f'{name}\n' for name in image_ids))
        for shape in SHAPE_CLASSES:
            (image_sets / f'{shape}_{image_set}.txt').write_text(
                ''.join(f'{name} {_presence(shape, objects[name]):2d}\n' for name in image_ids)
            )


def _presence(shape: str, objects: list[ShapeObject]) -> int:
    """VOC's number for a class in an image: 1 present, 0 only difficult objects, -1 absent."""
    difficult = [obj.difficult for obj in objects if obj.name == shape]
    return -1 if not difficult else 0 if all(difficult) else 1


def _annotation_xml(image_id: str, image_size: int, objects: list[ShapeObject]) -> str:
    """The text of an annotation in VOC's format."""
    lines = [
        '<annotation>',
        '\t<folder>VOC2007</folder>',
        f'\t<filename>{image_id}.jpg</filename>',
        '\t<source>',
        '\t\t<database>drawn shapes</database>',
        '\t</source>',
        '\t<size>',
        f'\t\t<width>{image_size}</width>',
        f'\t\t<height>{image_size}</height>',
        '\t\t<depth>3</depth>',
        '\t</size>',
        '\t<segmented>0</segmented>',
    ]
    for obj in objects:
        lines += [
            '\t<object>',
            f'\t\t<name>{obj.name}</name>',
            '\t\t<pose>Unspecified</pose>',
            f'\t\t<truncated>{obj.truncated:d}</truncated>',
            f'\t\t<difficult>{obj.difficult:d}</difficult>',
            '\t\t<bndbox>',
            *(
                f'\t\t\t<{side}>{value}</{side}>'
                for side, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), obj.box)
            ),
            '\t\t</bndbox>',
            '\t</object>',
        ]
    return '\n'.join([*lines, '</annotation>', ''])

"""Checking a VOC devkit on disk: its lists, annotations and images."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mmdet.datasets import VOCDataset
from terminaltables import AsciiTable
from tqdm import tqdm

from nst_det.datasets.transforms import LoadVerifiedImage
from nst_det.datasets.voc_annotation import VOCAnnotation, read_annotation
from nst_det.errors import UserError
from nst_det.fileio.find import find_devkit_years

SETS = ('train', 'val', 'trainval', 'test')
OFFICIAL = {  # images in VOC's own lists
    'VOC2007': dict(train=2501, val=2510, trainval=5011, test=4952),
    'VOC2012': dict(train=5717, val=5823, trainval=11540),
}


@dataclass
class DevkitCheck:
    """The content of a devkit, and its faults.

    Args:
        rows (list[list]): A row per list: year, list, images, images in VOC's list, objects,
            difficult objects, objects of classes that are not VOC's, images with a fault.
        faults (list[str]): The faults, one line each.
    """

    rows: list[list] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        head = [
            'year',
            'list',
            'images',
            "VOC's",
            'objects',
            'difficult',
            'other classes',
            'faults',
        ]
        return AsciiTable([head, *self.rows]).table


def check_devkit(folder: str | Path, subset: bool = False) -> DevkitCheck:
    """Check every list, annotation and image of a devkit.

    The lists must have VOC's lengths, and ``trainval`` must be ``train`` and ``val`` together. Each
    listed image must exist, be complete and decodable, and have the size in its annotation; and
    :func:`read_annotation` must accept the annotation.

    Args:
        folder (str | Path): ``VOCdevkit``, or its parent folder.
        subset (bool): The lists may have any length. Defaults to False.

    Returns:
        DevkitCheck: The content and the faults.

    Raises:
        UserError: If there is no devkit.
    """
    check = DevkitCheck()
    for year in find_devkit_years(folder):
        _check_year(year, subset, check)
    return check


def _check_year(year: Path, subset: bool, check: DevkitCheck) -> None:
    lists = {name: _read_list(year / 'ImageSets' / 'Main' / f'{name}.txt') for name in SETS}
    official = OFFICIAL.get(year.name, {})
    for name in SETS:
        if lists[name] is None and (name in official and not subset):
            check.faults.append(f'{year} has no ImageSets/Main/{name}.txt')
    lists = {name: ids for name, ids in lists.items() if ids is not None}
    if not lists:
        check.faults.append(f'{year} has no list of images')
    for name, ids in lists.items():
        if len(set(ids)) < len(ids):
            check.faults.append(f'{year}: {name}.txt lists images more than once')
        if not subset and len(ids) != official.get(name, len(ids)):
            check.faults.append(
                f"{year}: {name}.txt lists {len(ids)} images, VOC's own {official[name]}: it is "
                'incomplete, or a subset (then add --subset)'
            )
    if {'train', 'val', 'trainval'} <= lists.keys() and (
        sorted(lists['train'] + lists['val']) != sorted(lists['trainval'])
    ):
        check.faults.append(f'{year}: trainval.txt is not train.txt and val.txt')
    found: dict[str, VOCAnnotation] = {}
    faulty = set()
    listed = sorted({image for ids in lists.values() for image in ids})
    load = LoadVerifiedImage()
    for image in tqdm(listed, desc=year.name, unit='image', mininterval=1):
        try:
            annotation = found[image] = read_annotation(
                str(year / 'Annotations' / f'{image}.xml'), VOCDataset.METAINFO['classes']
            )
            path = str(year / 'JPEGImages' / f'{image}.jpg')
            load(dict(img_path=path, height=annotation.height, width=annotation.width))
        except UserError as error:
            check.faults.append(str(error))
            faulty.add(image)
    for name, ids in lists.items():
        read = [found[image] for image in ids if image in found]
        objects = Counter(obj.difficult for annotation in read for obj in annotation.objects)
        others = sum(len(annotation.others) for annotation in read)
        row = [objects.total(), objects[True], others, sum(image in faulty for image in ids)]
        check.rows.append([year.name, name, len(ids), official.get(name, '-'), *row])


def _read_list(path: Path) -> list[str] | None:
    try:
        return path.read_text(encoding='utf-8').split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'cannot read the image-set list {path}: {error}') from error

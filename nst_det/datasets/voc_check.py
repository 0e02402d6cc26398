"""Checking a VOC devkit or an export in VOC's format on disk: lists, annotations and images."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mmdet.datasets import VOCDataset
from terminaltables import AsciiTable
from tqdm import tqdm

from nst_det.datasets.image_size import read_image_size
from nst_det.datasets.readings import Readings
from nst_det.datasets.transforms import LoadVerifiedImage
from nst_det.datasets.voc_annotation import VOCAnnotation, read_annotation
from nst_det.datasets.voc_image_set import read_image_set
from nst_det.errors import UserError
from nst_det.fileio.files_by_stem import IMAGE_SUFFIXES, FilesByStem
from nst_det.fileio.find import Devkit, find_devkits

OFFICIAL = {  # images in VOC's own lists
    'VOC2007': dict(train=2501, val=2510, trainval=5011, test=4952),
    'VOC2012': dict(train=5717, val=5823, trainval=11540),
}
ORDER = ('train', 'val', 'trainval', 'test')
ALL = '(all images)'
SIDES = ((32, 'small'), (96, 'medium'))  # COCO's sizes of objects: the root of their area
OBJECT_SIZES = (*(name for _, name in SIDES), 'large')
SHOWN = 5  # sizes of images


@dataclass
class DevkitCheck:
    """The content of a devkit, and its faults.

    Args:
        rows (list[list]): A row per list: folder, list, images, images in VOC's list, objects,
            difficult objects, images without objects, images with a fault.
        classes (dict[str, list[int]]): Objects, difficult objects and images of each class.
        image_sizes (Counter): The images of each width and height.
        object_sizes (Counter): The objects that are small, medium and large, as COCO counts them.
        readings (list[str]): What was read otherwise than it is written, one line each.
        hints (list[str]): What is probably not meant so, one line each.
        faults (list[str]): The faults, one line each.
        settings (list[str]): The arguments of a ``VOCDevkitDataset`` for each list.
    """

    rows: list[list] = field(default_factory=list)
    classes: dict[str, list[int]] = field(default_factory=dict)
    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    object_sizes: Counter[str] = field(default_factory=Counter)
    readings: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)

    def metainfo(self) -> str:
        """Write the line of a config that names the classes.

        Returns:
            str: ``metainfo = dict(classes=(...))``, in VOC's order if the classes are VOC's, else
            in alphabetic order.
        """
        official = VOCDataset.METAINFO['classes']
        names = sorted(self.classes)
        if set(names) <= set(official):
            names = [name for name in official if name in self.classes]
        return f'metainfo = dict(classes={tuple(names)!r})'

    def __str__(self) -> str:
        lists = [
            ['folder', 'list', 'images', "VOC's", 'objects', 'difficult', 'no objects', 'faults'],
            *self.rows,
        ]
        official = any(row[3] != '-' for row in self.rows)
        if not official:
            lists = [row[:3] + row[4:] for row in lists]
        classes = [
            ['class', 'objects', 'difficult', 'images'],
            *([name, *counts] for name, counts in sorted(self.classes.items())),
        ]
        common = self.image_sizes.most_common(SHOWN)
        rest = len(self.image_sizes) - len(common)
        sizes = ', '.join(f'{width} x {height} ({count})' for (width, height), count in common)
        objects = ', '.join(f'{self.object_sizes[name]} {name}' for name in OBJECT_SIZES)
        return '\n'.join(
            [
                AsciiTable(lists).table,
                AsciiTable(classes).table,
                f'images: {sizes or "none"}{f" and {rest} other sizes" if rest > 0 else ""}',
                f'objects: {objects} (by area: below 32², below 96², from 96² pixels)',
                *(f'read otherwise than written: {reading}' for reading in self.readings),
                *(f'perhaps a mistake: {hint}' for hint in self.hints),
            ]
        )


def check_devkit(
    folder: str | Path, subset: bool = False, negatives_without_xml: bool = False
) -> DevkitCheck:
    """Check every list, annotation and image of a devkit.

    The lists of VOC's own devkits must have VOC's lengths, and ``trainval`` must be ``train`` and
    ``val`` together. Each listed image must exist, be complete and decodable, and have the size in
    its annotation; and :func:`read_annotation` must accept the annotation. A folder without lists
    is checked as one list of all its images.

    Args:
        folder (str | Path): ``VOCdevkit``, its parent folder, or an export in VOC's format.
        subset (bool): The lists may have any length. Defaults to False.
        negatives_without_xml (bool): An image without an annotation has no objects. Defaults to
            False: it is a fault.

    Returns:
        DevkitCheck: The content and the faults.

    Raises:
        UserError: If there is no devkit.
    """
    check = DevkitCheck()
    for devkit in find_devkits(folder):
        _DevkitChecker(devkit, negatives_without_xml, check).run(subset)
    check.hints += _similar_classes(list(check.classes))
    return check


class _DevkitChecker:
    """Checks one folder, and adds what it finds to a check."""

    def __init__(self, devkit: Devkit, negatives_without_xml: bool, check: DevkitCheck) -> None:
        self.devkit = devkit
        self.name = devkit.root.name
        self.negatives_without_xml = negatives_without_xml
        self.check = check
        self.images = FilesByStem(devkit.root / devkit.img_subdir, IMAGE_SUFFIXES)
        self.annotations = FilesByStem(devkit.root / devkit.ann_subdir, {'.xml'})
        self.readings = Readings()
        self.load = LoadVerifiedImage()

    def run(self, subset: bool) -> None:
        lists = self._read_lists()
        found: dict[str, VOCAnnotation] = {}
        faulty = set()
        listed = sorted({image for names in lists.values() for image in names})
        for image in tqdm(listed, desc=self.name, unit='image', mininterval=1):
            try:
                found[image] = self._read_annotation(image)
                self._load_image(image, found[image])
            except UserError as error:
                self.check.faults.append(str(error))
                faulty.add(image)
        for annotation in found.values():
            self._count(annotation)
        official = OFFICIAL.get(self.name, {}) if self._is_official(found) else {}
        if not subset:
            self._compare_lengths(lists, official)
        for name, images in lists.items():
            read = [found[image] for image in images if image in found]
            objects = Counter(obj.difficult for annotation in read for obj in annotation.objects)
            empty = sum(not annotation.objects for annotation in read)
            row = [objects.total(), objects[True], empty, sum(image in faulty for image in images)]
            self.check.rows.append([self.name, name, len(images), official.get(name, '-'), *row])
            self.check.settings.append(self._settings(name))
        self.check.readings += self.readings.lines()

    def _read_lists(self) -> dict[str, list[str]]:
        """Read the lists of images, or list all images."""
        folder = self.devkit.root / 'ImageSets' / 'Main'
        paths = {path.stem: path for path in folder.glob('*.txt')}
        lists = {}
        for name in sorted(paths, key=lambda name: (name not in ORDER, (*ORDER, name).index(name))):
            if name.rpartition('_')[2] in paths and '_' in name:
                continue  # VOC's lists per class
            try:
                lists[name] = read_image_set(paths[name], self.images, self.readings)
            except UserError as error:
                self.check.faults.append(str(error))
                continue
            if len(set(lists[name])) < len(lists[name]):
                self.check.faults.append(
                    f'{self.devkit.root}: {name}.txt lists images more than once'
                )
        if {'train', 'val', 'trainval'} <= lists.keys() and (
            sorted(lists['train'] + lists['val']) != sorted(lists['trainval'])
        ):
            self.check.faults.append(
                f'{self.devkit.root}: trainval.txt is not train.txt and val.txt'
            )
        if not paths:
            return {ALL: sorted({*self.images.stems(), *self.annotations.stems()})}
        return lists

    def _read_annotation(self, image: str) -> VOCAnnotation:
        xml = self.annotations.find(image)
        if xml is None and self.negatives_without_xml:
            return VOCAnnotation(*read_image_size(self._path(image)), [], [], [])
        if xml is None:
            raise UserError(
                f'{self.annotations.folder} lacks the annotation {image}.xml: for images without '
                'objects that need none, add --negatives-without-xml'
            )
        annotation = read_annotation(
            str(self.annotations.folder / xml),
            image_size=lambda: read_image_size(self._path(image)),
        )
        for reading in annotation.readings:
            self.readings.add(reading, xml)
        return annotation

    def _load_image(self, image: str, annotation: VOCAnnotation) -> None:
        size = dict(height=annotation.height, width=annotation.width)
        self.load(dict(img_path=self._path(image), **size))

    def _path(self, image: str) -> str:
        file = self.images.find(image)
        if file is None:
            raise UserError(f'{self.images.folder} lacks the image {image}')
        return str(self.images.folder / file)

    def _count(self, annotation: VOCAnnotation) -> None:
        self.check.image_sizes[annotation.width, annotation.height] += 1
        for name in {obj.name for obj in annotation.objects}:
            self.check.classes.setdefault(name, [0, 0, 0])[2] += 1
        for obj in annotation.objects:
            counts = self.check.classes[obj.name]
            counts[0] += 1
            counts[1] += obj.difficult
            area = (obj.box[2] - obj.box[0]) * (obj.box[3] - obj.box[1])
            self.check.object_sizes[
                next((name for side, name in SIDES if area < side**2), 'large')
            ] += 1

    @staticmethod
    def _is_official(found: dict[str, VOCAnnotation]) -> bool:
        """Tell whether the objects are of VOC's classes."""
        names = {obj.name for annotation in found.values() for obj in annotation.objects}
        return names <= set(VOCDataset.METAINFO['classes'])

    def _compare_lengths(self, lists: dict[str, list[str]], official: dict[str, int]) -> None:
        for name, length in official.items():
            if name not in lists:
                self.check.faults.append(f'{self.devkit.root} has no ImageSets/Main/{name}.txt')
            elif len(lists[name]) != length:
                self.check.faults.append(
                    f"{self.devkit.root}: {name}.txt lists {len(lists[name])} images, VOC's own "
                    f'{length}: it is incomplete, or a subset (then add --subset)'
                )

    def _settings(self, name: str) -> str:
        """The arguments of the data set that reads a list."""
        root = self.devkit.root
        arguments = [
            f"data_root='{root.parent}/'",
            f"data_prefix=dict(sub_data_root='{root.name}/')",
        ]
        if name != ALL:
            arguments.append(f"ann_file='{root.name}/ImageSets/Main/{name}.txt'")
        if self.devkit.img_subdir != 'JPEGImages':
            arguments.append(f'img_subdir={self.devkit.img_subdir!r}')
        if self.devkit.ann_subdir != 'Annotations':
            arguments.append(f'ann_subdir={self.devkit.ann_subdir!r}')
        if self.negatives_without_xml:
            arguments.append('negatives_without_xml=True')
        return f"dict(type='VOCDevkitDataset', {', '.join(arguments)}, metainfo=metainfo)"


def _similar_classes(names: list[str]) -> list[str]:
    """Class names that are probably two spellings of one."""
    spellings: dict[str, list[str]] = {}
    for name in sorted(names):
        spellings.setdefault(re.sub(r'[\s_-]+', ' ', name).casefold(), []).append(name)
    return [
        f'{" and ".join(map(repr, similar))} are different classes, whose names are nearly alike: '
        'if they are one, use one spelling in the annotations'
        for similar in spellings.values()
        if len(similar) > 1
    ]

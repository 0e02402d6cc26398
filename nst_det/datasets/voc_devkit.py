"""The data set of a PASCAL VOC devkit, which reports every fault of the devkit in one line."""

import glob
import logging
import os.path as osp
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from nst_det.datasets.image_size import read_image_size
from nst_det.datasets.readings import Readings
from nst_det.datasets.shape_pictures import SHAPE_CLASSES
from nst_det.datasets.voc_annotation import VOCAnnotation, read_annotation
from nst_det.datasets.voc_download import ARCHIVES
from nst_det.datasets.voc_image_set import read_image_set
from nst_det.errors import UserError, nearest
from nst_det.fileio.files_by_stem import IMAGE_SUFFIXES, FilesByStem


@DATASETS.register_module()
class VOCDevkitDataset(VOCDataset):
    """mmdet's ``VOCDataset``, which also reads what labelling tools write, and checks it.

    The images, boxes, labels and ignore flags of VOC's own devkit are those of ``VOCDataset``. The
    differences:

    - An image may have any suffix that the image library reads, and its name may contain spaces
      and sub-folders. Without ``ann_file``, all images of the folder are used.
    - Annotations are read as :func:`read_annotation` describes. Where one has no usable size, it is
      that of the image. Whatever is read otherwise than it is written is counted in the log.
    - A devkit that is missing, incomplete or faulty is one error that names the file.
    - Objects of classes that ``metainfo`` does not list are left out as in ``VOCDataset``, but the
      log counts them.
    - For other classes than VOC's, the table of the evaluation has their names.

    Args:
        ann_file (str): The image-set list, such as ``'VOC2007/ImageSets/Main/trainval.txt'``.
            Defaults to ``''``: all images, as in exports that have a folder for each set.
        data_root (str): The ``VOCdevkit`` folder.
        data_prefix (dict): The folder of the year below it, ``dict(sub_data_root='VOC2007/')``.
            Defaults to ``dict(sub_data_root='')``: there are no years.
        img_subdir (str): The folder of the images below that. Defaults to ``'JPEGImages'``.
        ann_subdir (str): The folder of the annotations, which may be the same. Defaults to
            ``'Annotations'``.
        negatives_without_xml (bool): Whether an image without an annotation file is an image
            without objects. Defaults to False: it is an error.
        metainfo (dict, optional): ``dict(classes=...)``. Defaults to VOC's 20 classes.
        **kwargs: The other arguments of mmdet's ``VOCDataset``.

    Raises:
        UserError: If the devkit or these arguments cannot be used.
    """

    def __init__(
        self,
        ann_file: str = '',
        data_root: str = '',
        data_prefix: dict | None = None,
        negatives_without_xml: bool = False,
        **kwargs: Any,
    ) -> None:
        self.negatives_without_xml = negatives_without_xml
        data_prefix = dict(sub_data_root='') if data_prefix is None else data_prefix
        super().__init__(
            ann_file=_check_path('ann_file', ann_file),
            data_root=_check_path('data_root', data_root),
            data_prefix={
                key: _check_path(f'data_prefix.{key}', path) for key, path in data_prefix.items()
            },
            **kwargs,
        )
        classes = self._metainfo['classes']
        if tuple(classes) != VOCDataset.METAINFO['classes']:
            # With this entry VOCMetric would label the rows of its table with VOC's 20 names.
            self._metainfo['dataset_type'] = None
        if len(self._metainfo['palette']) < len(classes):
            del self._metainfo['palette']  # mmdet then draws with its own colours

    def load_data_list(self) -> list[dict]:
        """Read the annotations of all listed images.

        Returns:
            list[dict]: ``img_path``, ``img_id``, ``xml_path``, ``height``, ``width`` and
            ``instances`` (with ``bbox``, ``bbox_label`` and ``ignore_flag``) of each image.
        """
        self._check_arguments()
        self._check_folders()
        self._images = FilesByStem(osp.join(self.sub_data_root, self.img_subdir), IMAGE_SUFFIXES)
        self._annotations = FilesByStem(osp.join(self.sub_data_root, self.ann_subdir), {'.xml'})
        self._readings = Readings()
        img_ids = self._list_images()
        self._check_listed_files(img_ids, self._images)
        self._check_annotated(img_ids)

        self.cat2label = {name: label for label, name in enumerate(self._metainfo['classes'])}
        self._left_out: Counter[str] = Counter()
        self._beyond_image: list[str] = []
        self._small: Counter[str] = Counter()
        data_list, faults, faulty_ids = [], [], []
        for img_id in img_ids:
            # As mmdet joins them, so that the paths look alike.
            img_info = dict(
                img_id=img_id,
                file_name=osp.join(self.img_subdir, self._images.find(img_id)),
                xml_path=osp.join(
                    self.sub_data_root,
                    self.ann_subdir,
                    self._annotations.find(img_id) or f'{img_id}.xml',
                ),
            )
            try:
                data_list.append(self.parse_data_info(img_info))
            except UserError as error:
                faults.append(str(error))
                faulty_ids.append(img_id)
        if faults:
            more = f' (and faults in {_enumerate(faulty_ids[1:], 5)})' if faults[1:] else ''
            raise UserError(faults[0] + more)
        self._log_findings()
        return data_list

    def parse_data_info(self, img_info: dict) -> dict:
        """Read the annotation of one image.

        Args:
            img_info (dict): ``img_id``, ``file_name`` and ``xml_path``.

        Returns:
            dict: The entry of :meth:`load_data_list`.
        """
        img_path = osp.join(self.sub_data_root, img_info['file_name'])
        annotation = self._read_annotation(img_info['xml_path'], img_path)
        return dict(
            img_path=img_path,
            img_id=img_info['img_id'],
            xml_path=img_info['xml_path'],
            height=annotation.height,
            width=annotation.width,
            instances=[
                dict(
                    ignore_flag=int(obj.difficult or self._is_small(obj.box)),
                    bbox=[side - 1 for side in obj.box],  # VOC counts pixels from 1
                    bbox_label=self.cat2label[obj.name],
                )
                for obj in annotation.objects
            ],
        )

    def _read_annotation(self, xml_path: str, img_path: str) -> VOCAnnotation:
        """Read an annotation, and note what is odd in it."""
        if self.negatives_without_xml and not osp.lexists(xml_path):
            self._readings.add('images without an annotation, used as negatives', img_path)
            return VOCAnnotation(*self._image_size(img_path), [], [], [])
        annotation = read_annotation(xml_path, self.cat2label, lambda: self._image_size(img_path))
        for reading in annotation.readings:
            self._readings.add(reading, osp.basename(xml_path))
        self._left_out.update(annotation.others)
        for obj in annotation.objects:
            xmin, ymin, xmax, ymax = obj.box
            if xmin < 1 or ymin < 1 or xmax > annotation.width or ymax > annotation.height:
                self._beyond_image.append(f'{osp.basename(xml_path)} {obj.name!r}: {obj.box}')
            if self._is_small(obj.box) and not obj.difficult:
                self._small[obj.name] += 1
        return annotation

    def _image_size(self, img_path: str) -> tuple[int, int]:
        """Read the size of an image, as the pipeline will load it."""
        flags = [getattr(transform, 'color_type', None) for transform in self.pipeline.transforms]
        return read_image_size(img_path, next(filter(None, flags), 'color'))

    def _is_small(self, box: tuple[int, int, int, int]) -> bool:
        """Tell whether ``filter_cfg`` wants a box to be ignored for its size."""
        least = self.bbox_min_size
        return least is not None and min(box[2] - box[0], box[3] - box[1]) < least

    def filter_data(self) -> list[dict]:
        """Leave out images by ``filter_cfg``.

        Returns:
            list[dict]: The images that are left.

        Raises:
            UserError: If none is left.
        """
        kept = super().filter_data()
        left_out = len(self.data_list) - len(kept)
        if not kept:
            named = self._left_out and f'; the annotations name {_count(self._left_out)}'
            raise UserError(
                f'filter_cfg={dict(self.filter_cfg)} leaves none of the {left_out} images of '
                f'{osp.abspath(self.ann_file)} to train on: the classes are '
                f'{_enumerate(self._metainfo["classes"])}{named or ""}'
            )
        if left_out:
            print_log(
                f'{left_out} of the {len(self.data_list)} images of {self.ann_file} are left out '
                f'by filter_cfg={dict(self.filter_cfg)}',
                'current',
            )
        return kept

    def _check_arguments(self) -> None:
        """Check the arguments, before any file is looked for."""
        classes = self._metainfo['classes']
        if isinstance(classes, str):
            raise UserError(
                f'metainfo classes={classes!r} is a string, not a list of class names: for one '
                f'class write classes=({classes!r},)'
            )
        repeated = [name for name, count in Counter(classes).items() if count > 1]
        if repeated:
            raise UserError(f'metainfo lists the class {repeated[0]!r} more than once')
        if 'sub_data_root' not in self.data_prefix:
            raise UserError(
                f'data_prefix={self.data_prefix} has no sub_data_root: give '
                "data_prefix=dict(sub_data_root='VOC2007/'), the folder below data_root"
            )
        if (self.backend_args or {}).get('backend', 'local') != 'local' or '://' in self.ann_file:
            raise UserError(
                'VOCDevkitDataset reads a devkit on a local disk: for other file backends use '
                "mmdet's type='VOCDataset'"
            )
        if self.test_mode and self.bbox_min_size is not None:
            raise UserError(
                'filter_cfg has bbox_min_size, which would hide objects from the evaluation: '
                'drop it from the dataset with test_mode=True'
            )

    def _check_folders(self) -> None:
        """Check that the folders of the devkit exist."""
        root = Path(osp.abspath(self.sub_data_root))
        if not root.is_dir():
            found = next(folder for folder in root.parents if folder.is_dir())
            raise UserError(
                f'no VOC devkit at {root} ({found} {_contents(found)}): '
                f'{self._elsewhere(root) or self._how_to_get()}'
            )
        lacking = [
            name for name in (self.img_subdir, self.ann_subdir) if not (root / name).is_dir()
        ]
        if lacking:
            raise UserError(
                f'the VOC devkit at {root} is incomplete: it lacks {_enumerate(lacking)}, and '
                f'{_contents(root)}: {self._elsewhere(root) or self._how_to_get()}'
            )

    def _list_images(self) -> list[str]:
        """Read the image-set list, or find all images."""
        if not self.ann_file:
            img_ids = sorted({*self._images.stems(), *self._annotations.stems()})
            if not img_ids:
                raise UserError(f'{self._images.folder} holds no images: {self._how_to_get()}')
            return img_ids
        path = Path(osp.abspath(self.ann_file))
        try:
            return read_image_set(path, self._images, self._readings)
        except FileNotFoundError:
            lists = {file.stem for file in path.parent.glob('*.txt')}
            lists -= {
                name for name in lists if name.rpartition('_')[0] in self._metainfo['classes']
            }
            if lists and path.stem not in ('train', 'val', 'trainval', 'test'):
                hint = nearest(path.stem, lists)
            else:
                hint = f'{path.parent} has {_enumerate(lists) or "no lists"}; '
                hint += self._how_to_get()
            raise UserError(f'no image-set list {path}: {hint}') from None

    def _check_annotated(self, img_ids: list[str]) -> None:
        """Check that every image has an annotation, if it must have one."""
        if not self.negatives_without_xml:
            self._check_listed_files(img_ids, self._annotations)
        elif not any(self._annotations.find(img_id) for img_id in img_ids):
            raise UserError(
                f'{self._annotations.folder} has none of the {len(img_ids)} annotations of '
                f'{self._source()}, so negatives_without_xml=True would leave no objects: correct '
                'ann_subdir or the names of the files'
            )

    def _check_listed_files(self, img_ids: list[str], files: FilesByStem) -> None:
        """Check that every listed image has its file."""
        missing = [name for name in img_ids if files.find(name) is None]
        if not missing:
            return
        folder, annotations = files.folder, files is self._annotations
        twins = sorted(path.name for path in folder.glob(f'{glob.escape(missing[0])}.*'))
        if annotations:
            hint = (
                'for images without objects that need none, set negatives_without_xml=True; '
                f'otherwise {self._how_to_get()}'
            )
        elif twins and folder != self._annotations.folder:
            hint = f'{twins[0]} is there, which has no suffix of an image'
        else:
            hint = f'the folder has {len(files.stems())} images; {self._how_to_get()}'
        raise UserError(
            f'{folder} lacks the {"annotations" if annotations else "images"} '
            f'{_enumerate(missing)} of the {len(img_ids)} that {self._source()} lists: {hint}'
        )

    def _source(self) -> str:
        """Name what lists the images."""
        return osp.abspath(self.ann_file or self.sub_data_root)

    def _log_findings(self) -> None:
        """Log which objects were left out and which boxes look odd."""
        for line in self._readings.lines():
            print_log(f'{self.ann_file or self.sub_data_root}: {line}', 'current')
        if self._left_out:
            print_log(
                f'{sum(self._left_out.values())} objects in {self.ann_file} are left out, their '
                f'classes are not in metainfo: {_count(self._left_out)}; for them too write '
                f'metainfo=dict(classes={(*self._metainfo["classes"], *sorted(self._left_out))})',
                'current',
                logging.WARNING,
            )
        if self._small:
            print_log(
                f'{sum(self._small.values())} objects in {self.ann_file} have a side below '
                f'filter_cfg.bbox_min_size={self.bbox_min_size} and are ignored: '
                f"{_count(self._small)}. Assigners with ignore_iof_thr=-1, as in mmdet's configs, "
                'teach them as background: leave bbox_min_size out of filter_cfg',
                'current',
                logging.WARNING,
            )
        if self._beyond_image:
            print_log(
                f'{len(self._beyond_image)} boxes in {self.ann_file} reach beyond their image '
                f'(VOC counts pixels from 1) and are used as they are, the first is '
                f'{self._beyond_image[0]}',
                'current',
                logging.WARNING,
            )

    def _elsewhere(self, root: Path) -> str | None:
        """Look for the devkit in the folders for which ``data_root`` is often mistaken."""
        if not self.data_root:
            return None
        data_root = Path(osp.abspath(self.data_root))
        below = osp.relpath(root, data_root)
        places = (data_root / 'VOCdevkit', data_root.parent, data_root.parent / 'VOCdevkit')
        for place in places:
            if (place / below / self.img_subdir).is_dir():
                return f"it is in {place}, so set data_root='{place}/'"
        if root != data_root and (data_root / self.img_subdir).is_dir() and self.img_subdir:
            return f"{self.img_subdir} is in {data_root}, so set data_prefix=dict(sub_data_root='')"
        return None

    def _how_to_get(self) -> str:
        """Tell the user how to put this devkit where it was looked for."""
        devkit = Path(osp.abspath(self.sub_data_root)).parent
        where = str(devkit.parent) if devkit.name == 'VOCdevkit' else 'data'
        then = '' if devkit.name == 'VOCdevkit' else " and set data_root='data/VOCdevkit/'"
        classes = tuple(self._metainfo['classes'])
        if classes == SHAPE_CLASSES:
            return (
                'draw it with: python -c "from nst_det.datasets import make_shapes_devkit; '
                f"make_shapes_devkit('{where}')\"{then}"
            )
        year = osp.basename(osp.normpath(self.sub_data_root)).removeprefix('VOC')
        if year not in ARCHIVES or not set(classes) <= set(VOCDataset.METAINFO['classes']):
            return 'correct data_root, data_prefix and ann_file, or put the devkit there'
        return (
            'download it with: python -c "from nst_det.datasets import prepare_devkit; '
            f"prepare_devkit('{where}', ['{year}'])\"{then}"
        )


def _check_path(option: str, path: Any) -> str:
    """Check that an argument is one path."""
    if isinstance(path, list | tuple):
        raise UserError(
            f'{option}={path!r} is a list, expected one path: for several, join their data sets '
            "with dict(type='ConcatDataset', datasets=[...], ignore_keys=['dataset_type'])",
            option,
        )
    if not isinstance(path, str | Path):
        raise UserError(f'{option}={path!r} is no path', option)
    return str(path)


def _enumerate(names: Iterable[str], limit: int = 4) -> str:
    """List the first names, and count the rest."""
    names = list(names)
    rest = len(names) - limit
    return ', '.join(names[:limit]) + (f' and {rest} more' if rest > 0 else '')


def _count(counts: Counter) -> str:
    """List names and their counts, the most frequent first."""
    return _enumerate([f'{name!r} ({count})' for name, count in counts.most_common()], limit=20)


def _contents(folder: Path) -> str:
    """Tell what a folder holds."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))
    return f'holds {_enumerate(names)}' if names else 'is empty'

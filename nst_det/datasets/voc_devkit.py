"""The data set of a PASCAL VOC devkit, which reports every fault of the devkit in one line."""

import glob
import logging
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from nst_det.datasets.shape_pictures import SHAPE_CLASSES
from nst_det.datasets.voc_annotation import read_annotation
from nst_det.datasets.voc_download import ARCHIVES
from nst_det.errors import UserError, nearest


@DATASETS.register_module()
class VOCDevkitDataset(VOCDataset):
    """mmdet's ``VOCDataset``, which also checks the devkit that it reads.

    The images, boxes, labels and ignore flags are those of ``VOCDataset``. The differences:

    - A devkit that is missing, incomplete or faulty is one error that names the file.
    - Objects of classes that ``metainfo`` does not list are left out as in ``VOCDataset``, but the
      log counts them.
    - For other classes than VOC's, the table of the evaluation has their names.

    Your own devkit works as well, if it has VOC's folder layout, ``.jpg`` images and the XML fields
    ``size`` and ``object/{name, bndbox, difficult}``; ``metainfo`` gives the classes.

    Args:
        ann_file (str): The image-set list, such as ``'VOC2007/ImageSets/Main/trainval.txt'``.
        data_root (str): The ``VOCdevkit`` folder.
        data_prefix (dict): ``dict(sub_data_root='VOC2007/')``, the folder of the year in it.
        metainfo (dict, optional): ``dict(classes=...)``. Defaults to VOC's 20 classes.
        **kwargs: The other arguments of mmdet's ``VOCDataset``.

    Raises:
        UserError: If the devkit or these arguments cannot be used.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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
        img_ids = self._read_image_set()
        self._check_listed_files(img_ids, self.img_subdir, '.jpg')
        self._check_listed_files(img_ids, self.ann_subdir, '.xml')

        self.cat2label = {name: label for label, name in enumerate(self._metainfo['classes'])}
        self._left_out: Counter[str] = Counter()
        self._beyond_image: list[str] = []
        data_list, faults, faulty_ids = [], [], []
        for img_id in img_ids:
            img_info = dict(
                img_id=img_id,
                file_name=osp.join(self.img_subdir, f'{img_id}.jpg'),
                xml_path=osp.join(self.sub_data_root, self.ann_subdir, f'{img_id}.xml'),
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
        xml_path = img_info['xml_path']
        annotation = read_annotation(xml_path, self.cat2label)
        width, height = annotation.width, annotation.height
        self._left_out.update(annotation.others)
        for obj in annotation.objects:
            xmin, ymin, xmax, ymax = obj.box
            if xmin < 1 or ymin < 1 or xmax > width or ymax > height:
                self._beyond_image.append(f'{osp.basename(xml_path)} {obj.name!r}: {obj.box}')
        return dict(
            img_path=osp.join(self.sub_data_root, img_info['file_name']),
            img_id=img_info['img_id'],
            xml_path=xml_path,
            height=height,
            width=width,
            instances=self._parse_instance_info(annotation.tree),
        )

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
        if not self.ann_file:
            raise UserError(
                "ann_file is missing: give a list such as 'VOC2007/ImageSets/Main/trainval.txt'"
            )
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

    def _read_image_set(self) -> list[str]:
        """Read the image-set list."""
        path = Path(osp.abspath(self.ann_file))
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
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
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f'cannot read the image-set list {path}: {error}') from error
        img_ids = []
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if len(words) > 1:
                raise UserError(
                    f'line {number} of the image-set list {path} is {line!r}, expected one image '
                    "name without spaces: use a list such as 'trainval.txt', not one of a class"
                )
            if osp.isabs(line.strip()) or '..' in Path(line.strip()).parts:
                raise UserError(
                    f'line {number} of the image-set list {path} is {line!r}, which leads out of '
                    'the devkit: expected the name of an image'
                )
            img_ids += words
        if not img_ids:
            raise UserError(f'the image-set list {path} is empty, expected one image name per line')
        return img_ids

    def _check_listed_files(self, img_ids: list[str], subdir: str, suffix: str) -> None:
        """Check that every listed image has its file."""
        folder = Path(osp.abspath(self.sub_data_root), subdir)
        missing = [name for name in img_ids if not osp.isfile(folder / f'{name}{suffix}')]
        if not missing:
            return
        twins = sorted(path.name for path in folder.glob(f'{glob.escape(missing[0])}.*'))
        hint = (
            f'{twins[0]} is there, expected {suffix}'
            if twins
            else f'the folder has {len(os.listdir(folder))} files; {self._how_to_get()}'
        )
        raise UserError(
            f'{folder} lacks {_enumerate([f"{name}{suffix}" for name in missing])} of the '
            f'{len(img_ids)} files that {osp.abspath(self.ann_file)} lists: {hint}'
        )

    def _log_findings(self) -> None:
        """Log which objects were left out and which boxes look odd."""
        if self._left_out:
            print_log(
                f'{sum(self._left_out.values())} objects in {self.ann_file} are left out, their '
                f'classes are not in metainfo: {_count(self._left_out)}',
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

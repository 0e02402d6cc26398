"""CIFAR-10 and CIFAR-100, read by torchvision."""

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from nst_det.config.validators import check_choice, check_path
from nst_det.errors import UserError


@DATASETS.register_module()
class CIFAR10Dataset(BaseDataset):
    """CIFAR-10 (Krizhevsky 2009), for classification: 60,000 images of 32 x 32 pixels.

    torchvision reads the batches, after it has compared their checksums. Nothing is downloaded:
    data that is missing is one error that tells where to get it.

    Args:
        data_root (str): The folder that holds ``cifar-10-batches-py``.
        split (str): ``'train'``, of 50,000 images, or ``'test'``, of 10,000.
        **kwargs: Those of :class:`mmengine.dataset.BaseDataset`, such as ``pipeline`` and
            ``indices``.

    Raises:
        UserError: If a file is missing or damaged, or an argument is not valid.
    """

    title, reader = 'CIFAR-10', CIFAR10

    def __init__(self, data_root: str, split: str, **kwargs: Any) -> None:
        kind = type(self).__name__
        self.split = check_choice(f'{kind}.split', split, ('train', 'test'))
        super().__init__(data_root=check_path(f'{kind}.data_root', data_root), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the images and their labels.

        Returns:
            list[dict]: Of each image ``img`` `(32, 32, 3)`, RGB, uint8, its shape as ``img_shape``
            and ``ori_shape``, ``gt_label`` and ``img_id``.
        """
        self._check_files()
        found = self.reader(self.data_root, train=self.split == 'train')
        self._metainfo.setdefault('classes', tuple(found.classes))
        shape = found.data.shape[1:3]
        return [
            dict(img=image, img_shape=shape, ori_shape=shape, gt_label=int(label), img_id=i)
            for i, (image, label) in enumerate(zip(found.data, found.targets))
        ]

    def _check_files(self) -> None:
        """Check that all files are there, as torchvision does without naming one."""
        reader = self.reader
        folder = Path(self.data_root, reader.base_folder)
        files = [*reader.train_list, *reader.test_list]
        files.append([reader.meta['filename'], reader.meta['md5']])
        for name, checksum in files:
            file = folder / name
            if check_integrity(str(file), checksum):
                continue
            state = 'is damaged (its MD5 differs)' if file.is_file() else 'is not there'
            raise UserError(
                f'{self.title}: {file} {state}: unpack {reader.url} in {self.data_root}, or set '
                f'data_root to the folder that holds {reader.base_folder}'
            )


@DATASETS.register_module()
class CIFAR100Dataset(CIFAR10Dataset):
    """CIFAR-100: the same with 100 fine classes, in ``cifar-100-python``.

    Args:
        data_root (str): The folder that holds ``cifar-100-python``.
        split (str): ``'train'``, of 50,000 images, or ``'test'``, of 10,000.
        **kwargs: Those of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        UserError: If a file is missing or damaged, or an argument is not valid.
    """

    title, reader = 'CIFAR-100', CIFAR100

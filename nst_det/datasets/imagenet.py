"""ImageNet's folders, read by mmpretrain."""

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from nst_det.config.validators import check_choice, check_path
from nst_det.errors import UserError

CLASSES = 1000


@DATASETS.register_module()
class ImageNetDataset(BaseDataset):
    """ImageNet (ILSVRC 2012), for classification, as mmpretrain's ``ImageNet`` reads it.

    ``train`` and ``val`` hold a folder of images for each class, such as ``n01440764``; or all
    images, with their classes in ``meta/train.txt`` and ``meta/val.txt``. Data that is missing is
    one error that tells what was looked for.

    Args:
        data_root (str): The folder that holds ``train`` and ``val``.
        split (str): ``'train'`` or ``'val'``.
        **kwargs: Those of :class:`mmengine.dataset.BaseDataset`, such as ``pipeline`` and
            ``indices``. ``metainfo=dict(classes=…)`` is for other classes than the 1000 of
            ImageNet, in the order of the names of their folders.

    Raises:
        UserError: If mmpretrain or the data is missing, or an argument is not valid.
    """

    def __init__(self, data_root: str, split: str, **kwargs: Any) -> None:
        self.split = check_choice('ImageNetDataset.split', split, ('train', 'val'))
        super().__init__(data_root=check_path('ImageNetDataset.data_root', data_root), **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images and their labels.

        Returns:
            list[dict]: Of each image ``img_path`` and ``gt_label``.
        """
        try:
            from mmpretrain.datasets import ImageNet
        except ImportError as error:
            raise UserError(
                "ImageNetDataset needs mmpretrain: pip install 'nst_det[classification]'"
            ) from error
        folder = Path(self.data_root, self.split)
        listed = Path(self.data_root, 'meta', f'{self.split}.txt').is_file()
        if not folder.is_dir():
            raise _missing(self.data_root, f'there is no folder {folder}')
        wanted = self._metainfo.get('classes')
        if not listed:
            found = sum(child.is_dir() for child in folder.iterdir())
            expected = len(wanted) if wanted else CLASSES
            if found != expected:
                raise _missing(
                    self.data_root,
                    f'{folder} holds {found} folders, expected one for each of {expected} classes',
                )
        options = dict(metainfo=dict(classes=wanted)) if wanted else {}
        reader = ImageNet(self.data_root, self.split, lazy_init=True, **options)
        try:
            images = reader.load_data_list()
        except RuntimeError as error:
            raise _missing(self.data_root, f'{folder} holds no images') from error
        self._metainfo.setdefault('classes', tuple(reader.metainfo['classes']))
        return images


def _missing(data_root: str, fault: str) -> UserError:
    return UserError(
        f'ImageNet: {fault}: put the images of ILSVRC 2012 (https://image-net.org) into '
        f'{data_root}/train/CLASS/ and {data_root}/val/CLASS/, with folders such as n01440764, or '
        'set data_root to the folder that holds train and val'
    )

"""The handwritten digits that scikit-learn ships, as a data set of images."""

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from PIL import Image

from nst_det.config.validators import check_choice, check_integer
from nst_det.errors import UserError

TRAINING_IMAGES = 1200
FULL_SCALE = 16  # the value of ink that covers a pixel completely


@DATASETS.register_module()
class DigitsDataset(BaseDataset):
    """1,797 handwritten digits of scikit-learn (``load_digits``), for classification.

    They are the test set of E. Alpaydin and C. Kaynak's Optical Recognition of Handwritten Digits,
    UCI Machine Learning Repository, 1998: 8 x 8 pixels of 13 writers. Here the first 1,200 images
    are for training and the last 597 for testing: the digits of a writer stand together in the
    file, so that most of the test digits are by unknown hands. They are enlarged (bilinear) and
    have three equal channels. Nothing is downloaded.

    Args:
        split (str): ``'train'`` or ``'test'``.
        size (int): The side of an image in pixels. Defaults to 32.
        **kwargs: Those of :class:`mmengine.dataset.BaseDataset`, such as ``pipeline`` and
            ``indices``.

    Raises:
        UserError: If scikit-learn is missing, or an argument is not valid.
    """

    METAINFO = dict(classes=tuple('0123456789'))

    def __init__(self, split: str, size: int = 32, **kwargs: object) -> None:
        self.split = check_choice('DigitsDataset.split', split, ('train', 'test'))
        self.size = check_integer('DigitsDataset.size', size, minimum=8)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the images and their labels.

        Returns:
            list[dict]: Of each image ``img`` `(size, size, 3)`, uint8, its shape as ``img_shape``
            and ``ori_shape``, ``gt_label`` and ``img_id``.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise UserError(
                'DigitsDataset needs scikit-learn, which holds the images: pip install '
                "'nst_det[classification]'"
            ) from error
        digits = load_digits()
        images = np.round(digits.images * (255 / FULL_SCALE)).astype(np.uint8)
        training = self.split == 'train'
        chosen = range(TRAINING_IMAGES) if training else range(TRAINING_IMAGES, len(images))
        shape = (self.size, self.size)
        return [
            dict(
                img=np.repeat(_enlarged(images[i], self.size)[:, :, None], 3, axis=2),
                img_shape=shape,
                ori_shape=shape,
                gt_label=int(digits.target[i]),
                img_id=i,
            )
            for i in chosen
        ]


def _enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """Enlarge a grey image `(H, W)` to `(size, size)`."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))

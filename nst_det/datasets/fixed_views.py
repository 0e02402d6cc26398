"""A data set whose random augmentation repeats, so that a cache finds its pictures again."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from mmcv.transforms import RandomFlip
from mmdet.registry import DATASETS
from mmengine.dataset import RepeatDataset

from nst_det.config.options import checked_options
from nst_det.config.validators import check_integer
from nst_det.datasets.random_state import seeded
from nst_det.errors import UserError
from nst_det.fileio.picture_hash import add_picture_hash

_FLIPS = 2**16 - 1  # stands in place of a view in the seed of what is drawn once for all views


@DATASETS.register_module()
@checked_options
class FixedViews(RepeatDataset):
    """A data set with a fixed number of views of each image, which take turns.

    A view is what the data pipeline makes of an image with random numbers that are drawn once: its
    flip, scale, crop and colours. The first time that an image is visited its first view is loaded,
    the next time its second view, and after the last view the first one again. So there are no more
    pictures than images times ``views``, and from the visit after these on a feature cache of the
    teacher (``teacher.cache``) finds every picture.

    The flips are spread evenly over the views: with two views and flips at a probability of ½, one
    view of each image is flipped and the other one is not.

    Which view of an image is loaded depends only on the epoch and on the index, and its random
    numbers only on ``seed``, on the number of the image in the data set and on the view. So all
    trainings see the same pictures, whatever their own seed, and a resumed training goes on as the
    uninterrupted one. In a loop without epochs (``IterBasedTrainLoop``), each visit draws one of
    the views.

    Mosaic, MixUp and other transforms that mix images are refused: they would make the same mixture
    each time. A transform with a random generator of its own, such as those of albumentations, is
    not repeated; the cache then does not find its pictures, and computes them.

    Args:
        dataset (dict or BaseDataset): The data set.
        times (int): How often an epoch visits each image, as for mmengine's ``RepeatDataset``.
            Defaults to 1.
        views (int): K, the number of views. Defaults to 2.
        seed (int): The seed of the views. Defaults to 0.
        lazy_init (bool): Whether the annotations are loaded later. Defaults to False.

    Attributes:
        epoch (int, optional): The epoch, which ``DistSamplerSeedHook`` sets.

    Raises:
        UserError: If an option is wrong, or the data pipeline mixes images.
    """

    def __init__(
        self,
        dataset: Any,
        times: int = 1,
        views: int = 2,
        seed: int = 0,
        lazy_init: bool = False,
    ) -> None:
        check_integer('times', times, minimum=1)
        self.views = check_integer('views', views, minimum=1)
        self.seed = check_integer('seed', seed, minimum=0)
        self.epoch: int | None = None
        super().__init__(dataset, times, lazy_init)
        self._flips: list[RandomFlip] = []
        for transform in transforms_of(self.dataset):
            if hasattr(transform, 'get_indexes') or hasattr(transform, 'get_indices'):
                raise UserError(
                    f'FixedViews cannot repeat {type(transform).__name__}, which mixes images: '
                    'leave it out of the pipeline, or leave out FixedViews',
                    'train_dataloader.dataset',
                )
            if isinstance(transform, RandomFlip) and transform.prob is not None:
                self._flips.append(transform)

    def __getitem__(self, index: int) -> Any:
        image = self._get_ori_dataset_idx(index)
        if self.epoch is None:
            return self.load_view(image, int(np.random.randint(self.views)))
        return self.load_view(image, self.epoch * self.times + index // self._ori_len)

    @property
    def images(self) -> int:
        """int: The number of images, each counted once."""
        return len(self) // self.times

    def load_view(self, image: int, view: int) -> Any:
        """Load one view of an image.

        Args:
            image (int): The number of the image in the data set.
            view (int): The number of the view; K and all above begin again at 0.

        Returns:
            Any: What the data pipeline returns, with a hash of the picture in its metainfo.
        """
        view %= self.views
        with seeded(self.seed, image, _FLIPS):
            offset = np.random.rand()
        with seeded(self.seed, image, view), self._flipped((view / self.views + offset) % 1):
            loaded = self.dataset[image]
        add_picture_hash(loaded)
        return loaded

    @contextmanager
    def _flipped(self, share: float) -> Iterator[None]:
        """Let each flip of the pipeline choose the direction at a share of its probabilities."""
        with ExitStack() as stack:
            for flip in self._flips:
                direction = direction_at(share, flip.direction, flip.prob)
                # Found before the method of the class.
                flip._choose_direction = lambda direction=direction: direction
                stack.callback(delattr, flip, '_choose_direction')
            yield


def direction_at(
    share: float, directions: str | Sequence[str], probabilities: float | Sequence[float]
) -> str | None:
    """Find the direction of a ``RandomFlip`` at a share of the probabilities of all directions.

    Args:
        share (float): From 0 to 1, without 1.
        directions (str or Sequence[str]): The direction, or several.
        probabilities (float or Sequence[float]): Of all directions together, or of each.

    Returns:
        str or None: The direction; None for no flip.
    """
    directions = [directions] if isinstance(directions, str) else list(directions)
    if isinstance(probabilities, (int, float)):
        probabilities = [probabilities / len(directions)] * len(directions)
    for direction, end in zip(directions, itertools.accumulate(probabilities)):
        if share < end:
            return direction
    return None


def transforms_of(dataset: Any) -> Iterator[Any]:
    """List the transforms of a data set, and of all data sets inside it."""
    pipeline = getattr(dataset, 'pipeline', ())
    yield from getattr(pipeline, 'transforms', pipeline)
    inner = getattr(dataset, 'dataset', None)
    for part in [inner] if inner is not None else getattr(dataset, 'datasets', ()):
        yield from transforms_of(part)


def set_epoch(dataset: Any, epoch: int) -> None:
    """Tell the epoch to the :class:`FixedViews` in a data set, if there is one."""
    while dataset is not None:
        if isinstance(dataset, FixedViews):
            dataset.epoch = epoch
        dataset = getattr(dataset, 'dataset', None)

"""Filling the feature cache of a teacher before a training begins."""

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from torch.utils.data import DataLoader, Dataset

from nst_det.apis.build import build_distiller
from nst_det.datasets.fixed_views import FixedViews
from nst_det.datasets.random_state import seeded
from nst_det.errors import UserError
from nst_det.models.distillers import NSTDistiller
from nst_det.models.distillers.teacher.feature_cache import GIB, FeatureCache

TRIED = 4  # images that are loaded twice to see whether the augmentation is random


@dataclass(frozen=True)
class Plan:
    """What filling a cache takes.

    Args:
        pictures (int): The views of all images together.
        present (int): How many the cache holds already, as far as can be told from their number.
        bytes_per_picture (float): The space of one picture.
        seconds_per_picture (float): The time of one picture.
    """

    pictures: int
    present: int
    bytes_per_picture: float
    seconds_per_picture: float

    @property
    def missing(self) -> int:
        """int: The pictures that the cache lacks."""
        return self.pictures - self.present

    @property
    def gib(self) -> float:
        """float: The space that is needed beside what is there, in GiB."""
        return self.missing * self.bytes_per_picture / GIB

    @property
    def seconds(self) -> float:
        """float: The time that it takes."""
        return self.missing * self.seconds_per_picture


class Pictures(Dataset):
    """The pictures of a training, each once: the views of all images.

    Args:
        dataset (Any): The data set of the training.
        part (int): Which part of the pictures, from 0.
        parts (int): Into how many parts they are divided.

    Raises:
        UserError: If the pictures of the data set are not always the same.
    """

    def __init__(self, dataset: Any, part: int = 0, parts: int = 1) -> None:
        if isinstance(dataset, FixedViews):
            views, images = dataset.views, dataset.images
        else:
            _check_repeats(dataset)
            views, images = 1, len(dataset)
        self.dataset = dataset
        # A view of all images, then the next view, as the training meets them.
        self.items = list(itertools.product(range(views), range(images)))[part::parts]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        view, image = self.items[index]
        if isinstance(self.dataset, FixedViews):
            return self.dataset.load_view(image, view)
        return self.dataset[image]


def precompute_teacher(
    cfg: Config,
    announce: Callable[[Plan], None],
    amp: bool = False,
    part: int = 0,
    parts: int = 1,
) -> Iterator[tuple[int, int, float]]:
    """Let the teachers of a config see every picture of the training, and cache what they compute.

    What the cache holds already is not computed again, so an interrupted call resumes.

    Args:
        cfg (Config): The complete config of a distiller whose teacher has a ``cache``.
        announce (Callable): Is called once, with the plan, before the work begins.
        amp (bool): Whether the training is in mixed precision. Defaults to False: only if the
            config says so.
        part (int): Which part of the pictures, from 0. Defaults to 0.
        parts (int): Into how many parts they are divided, such as one for each process. Defaults
            to 1, all.

    Yields:
        tuple[int, int, float]: The pictures that are done, their number in all, and the share of
        the last batch that was in the cache, 0 to 1.

    Raises:
        UserError: If there is no cache, the pictures are not always the same, or there is no room.
    """
    distiller = build_distiller(cfg, 'only a distiller has a teacher', monitor_interval=0)
    if not any(teacher.get('cache') for teacher in distiller.teacher_cfgs.values()):
        raise UserError(
            'the teacher of this config has no cache: give it a folder, as --cfg-options '
            'model.teacher.cache=work_dirs/teacher_maps does',
            'teacher.cache',
        )
    distiller.to(get_device()).train()
    pictures = Pictures(DATASETS.build(cfg.train_dataloader.dataset), part, parts)
    if not len(pictures):
        raise UserError('the training data has no images: check its annotations and filters')
    loader = DataLoader(
        pictures,
        batch_size=cfg.train_dataloader.get('batch_size', 1),
        num_workers=cfg.train_dataloader.get('num_workers', 0),
        collate_fn=pseudo_collate,
    )
    precision = _precision(cfg, amp)
    started = time.perf_counter()
    batches = iter(loader)
    first = next(batches)
    loading = time.perf_counter() - started
    with precision():
        plan, share = _make_plan(distiller, first, loading, len(pictures))
    announce(plan)
    caches = [teacher.cache for teacher in distiller.teachers.values() if teacher.cache]
    _check_room(plan, caches)
    done = len(first['data_samples'])
    yield done, len(pictures), share
    for data in batches:
        with precision():
            outputs = distiller.run_teachers(**distiller.data_preprocessor(data, True))
        if any(cache.full for cache in caches):
            raise UserError(f'no more could be cached after {done} pictures: see above')
        done += len(data['data_samples'])
        yield done, len(pictures), min(output.cached_share or 0.0 for output in outputs)


def part_of_this_process() -> tuple[int, int]:
    """Find this process's part of the work among those that torchrun or Slurm has started.

    Returns:
        tuple[int, int]: The part, from 0, and the number of parts.
    """
    for rank, count in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_NTASKS')):
        if rank in os.environ and count in os.environ:
            return int(os.environ[rank]), int(os.environ[count])
    return 0, 1


def _make_plan(
    distiller: NSTDistiller, data: dict, loading: float, pictures: int
) -> tuple[Plan, float]:
    """Run the teachers on a batch, and measure what it takes as if nothing were cached."""
    ready = distiller.data_preprocessor(data, True)
    share = min(output.cached_share or 0.0 for output in distiller.run_teachers(**ready))
    count = len(data['data_samples'])
    teachers = [teacher for teacher in distiller.teachers.values() if teacher.cache]
    stores = [store for teacher in teachers for store in teacher.cache.stores.values()]
    present = min(len(store) for store in stores) - round((1 - share) * count)
    caches = [teacher.cache for teacher in teachers]
    size = 0
    for teacher in teachers:
        teacher.cache = None
    for _ in range(2):  # the first one may still try the speed-ups
        started = time.perf_counter()
        outputs = distiller.run_teachers(**ready)
        seconds = time.perf_counter() - started + loading
    for teacher, cache, output in zip(teachers, caches, outputs):
        teacher.cache = cache
        for tensor in [*output.feature_maps.values(), *(output.head_inputs or ())]:
            kept = cache.stored or tensor.dtype
            size += tensor.numel() * kept.itemsize
    plan = Plan(pictures, min(max(present, 0), pictures), size / count, seconds / count)
    return plan, share


def _check_room(plan: Plan, caches: Sequence[FeatureCache]) -> None:
    """Check that the caches may hold the pictures, and that the disk can."""
    for cache in caches:
        room = (cache.limit - cache.size) / GIB
        if plan.gib > room:
            raise UserError(
                f'{plan.missing} pictures need {plan.gib:.1f} GiB, but of the '
                f'{cache.limit / GIB:g} GiB of {cache.folder} only {max(room, 0):.1f} are free: '
                'raise teacher.cache_gib, or halve the space by teacher.cache_precision',
                'teacher.cache_gib',
            )
        free = shutil.disk_usage(cache.folder).free / GIB
        if plan.gib > free:
            raise UserError(
                f'{plan.missing} pictures need {plan.gib:.1f} GiB, but the disk of {cache.folder} '
                f'has {free:.1f} GiB: make room, or name another folder',
                'teacher.cache',
            )


def _check_repeats(dataset: Any) -> None:
    """Check that a data set without fixed views always gives the same pictures."""
    for image in range(min(TRIED, len(dataset))):
        loaded = []
        for seed in range(TRIED):
            with seeded(seed, image):
                loaded.append(dataset[image]['inputs'])
        if not all(one.shape == loaded[0].shape and one.equal(loaded[0]) for one in loaded):
            raise UserError(
                'the training pictures are augmented at random, so they never come again: let the '
                'views take turns with --cfg-options train_dataloader.dataset.type=FixedViews (in '
                'place of RepeatDataset), or wrap the data set in it',
                'train_dataloader.dataset',
            )


def _precision(cfg: Config, amp: bool) -> Callable[[], AbstractContextManager]:
    """The context in which the training runs its forward passes."""
    wrapper = cfg.get('optim_wrapper', {})
    if not amp and wrapper.get('type') != 'AmpOptimWrapper':
        return nullcontext
    device = get_device()
    name = wrapper.get('dtype') or ('bfloat16' if device == 'cpu' else 'float16')
    return lambda: torch.autocast(device, getattr(torch, str(name)))

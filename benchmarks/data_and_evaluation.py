"""What feeds a training and ends it: reading images and annotations, and the AP of a test set."""

import argparse
import copy
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nst_det  # noqa: F401  before mmdet: it supplies mmcv's ops

# isort: split
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import VOCDataset
from mmdet.evaluation import VOCMetric
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from terminaltables import GithubFlavoredMarkdownTable

from benchmarks.timing import medians
from nst_det.cli import user_errors
from nst_det.config.load import load_config
from nst_det.datasets import SHAPE_CLASSES, LoadVerifiedImage, VOCDevkitDataset, make_shapes_devkit
from nst_det.evaluation import VOCDevkitMetric

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'faster_rcnn_nst_voc.py'
LOADED = 160  # images of an epoch at most
TESTED = 1000  # images of the test list of drawn shapes, each of which it names many times
PER_IMAGE = 100  # detections, the most that the configs keep
LOADERS = {
    'no worker': dict(num_workers=0, persistent_workers=False),
    '1 worker': dict(num_workers=1, persistent_workers=True),
    '2 workers': dict(num_workers=2, persistent_workers=True),
    '4 workers': dict(num_workers=4, persistent_workers=True),
    '2 workers, 4 batches ahead of each': dict(
        num_workers=2, persistent_workers=True, prefetch_factor=4
    ),
    '2 workers, started anew': dict(num_workers=2, persistent_workers=False),
}


def drawn_devkit(folder: Path) -> dict:
    """A small devkit, its test list as long as a real one's; as arguments of the data set."""
    root = make_shapes_devkit(folder, num_train=32, num_test=8, image_size=500)
    file = root / 'VOC2007' / 'ImageSets' / 'Main' / 'test.txt'
    names = itertools.islice(itertools.cycle(file.read_text().split()), TESTED)
    file.write_text('\n'.join(names))
    return dict(data_root=str(root), metainfo=dict(classes=SHAPE_CLASSES))


def measure_data(devkit: dict, turns: int) -> list[dict]:
    """Seconds of reading and of evaluating.

    Args:
        devkit (dict): ``data_root``, and ``metainfo`` unless it has VOC's classes.
        turns (int): How often each is timed.

    Returns:
        list[dict]: ``what`` is done in which ``way``, ``images``, ``seconds``, and ``over_first``,
        as a multiple of the first way.
    """
    init_default_scope('mmdet')
    cfg = load_config(str(CONFIG))
    set_multi_processing(**cfg.env_cfg.mp_cfg)
    cfg.train_dataloader.dataset = dict(
        cfg.train_dataloader.dataset.dataset, **devkit, indices=LOADED
    )
    rows = []
    for what, (images, times) in {
        'a transform of the training pipeline': _transforms(cfg, turns),
        'reading an image': _readers(cfg, turns),
        'an epoch of the training pipeline': _loaders(cfg, turns),
        'opening the test set': _openings(devkit, turns),
        f'AP of {PER_IMAGE} detections an image': _metrics(devkit, turns),
    }.items():
        first = next(iter(times.values()))
        rows += [
            dict(what=what, way=way, images=images, seconds=seconds, over_first=seconds / first)
            for way, seconds in times.items()
        ]
    return rows


def _transforms(cfg: Config, turns: int) -> tuple[int, dict[str, float]]:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    transforms = [TRANSFORMS.build(transform) for transform in cfg.train_pipeline]
    times: dict[str, list[float]] = {type(transform).__name__: [] for transform in transforms}
    for _ in range(turns + 1):
        spent = dict.fromkeys(times, 0.0)
        for i in range(len(dataset)):
            results = dataset.get_data_info(i)
            for transform in transforms:
                started = time.perf_counter()
                results = transform(results)
                spent[type(transform).__name__] += time.perf_counter() - started
        for name, seconds in spent.items():
            times[name].append(seconds)
    return len(dataset), {name: statistics.median(turn[1:]) for name, turn in times.items()}


def _readers(cfg: Config, turns: int) -> tuple[int, dict[str, float]]:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]

    def reading(kind: type) -> Callable[[], object]:
        load = kind()
        return lambda: [load(dict(info)) and None for info in infos]

    ways = {kind.__name__: reading(kind) for kind in (LoadImageFromFile, LoadVerifiedImage)}
    return len(infos), medians(ways, turns, 'cpu')


def _loaders(cfg: Config, turns: int) -> tuple[int, dict[str, float]]:
    loaders = {}
    for name, options in LOADERS.items():
        if options['num_workers'] > os.cpu_count():
            continue
        options = {**copy.deepcopy(cfg.train_dataloader), **options}
        loaders[name] = Runner.build_dataloader(options, seed=0)
    ways = {
        name: (lambda loader=loader: list(map(len, loader))) for name, loader in loaders.items()
    }
    return len(loaders['no worker'].dataset), medians(ways, turns, 'cpu')


def _test_set(kind: type, devkit: dict):
    return kind(
        **devkit,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
    )


def _openings(devkit: dict, turns: int) -> tuple[int, dict[str, float]]:
    kinds = (VOCDataset, VOCDevkitDataset)
    ways = {kind.__name__: (lambda kind=kind: _test_set(kind, devkit)) for kind in kinds}
    return len(_test_set(VOCDevkitDataset, devkit)), medians(ways, turns, 'cpu')


def _metrics(devkit: dict, turns: int) -> tuple[int, dict[str, float]]:
    dataset = _test_set(VOCDevkitDataset, devkit)
    samples = _tested_samples(dataset)

    def evaluating(kind: type) -> Callable[[], object]:
        def evaluate() -> None:
            metric = kind()
            metric.dataset_meta = dataset.metainfo
            for sample in samples:
                metric.process({}, [sample])
            metric.evaluate(len(samples))

        return evaluate

    ways = {kind.__name__: evaluating(kind) for kind in (VOCMetric, VOCDevkitMetric)}
    return len(samples), medians(ways, turns, 'cpu')


def _tested_samples(dataset: VOCDevkitDataset) -> list[dict]:
    """What a metric is given: the annotations, and made-up detections near them."""
    rng = np.random.default_rng(0)
    classes = len(dataset.metainfo['classes'])
    samples = []
    for i in range(len(dataset)):
        objects = dataset.get_data_info(i)['instances']
        boxes = np.array([item['bbox'] for item in objects], np.float32)
        labels = np.array([item['bbox_label'] for item in objects])
        difficult = np.array([item['ignore_flag'] for item in objects], bool)
        which = rng.integers(0, len(objects), PER_IMAGE)
        sides = np.tile(boxes[which, 2:] - boxes[which, :2], 2)
        found = dict(
            bboxes=(boxes[which] + rng.normal(0, 0.25, sides.shape) * sides).astype(np.float32),
            labels=np.where(
                rng.random(PER_IMAGE) < 0.6, labels[which], rng.integers(0, classes, PER_IMAGE)
            ),
            scores=rng.random(PER_IMAGE, np.float32),
        )
        sample = dict(
            gt_instances=dict(bboxes=boxes[~difficult], labels=labels[~difficult]),
            ignored_instances=dict(bboxes=boxes[difficult], labels=labels[difficult]),
            pred_instances=found,
        )
        samples.append(
            {
                key: {name: torch.from_numpy(array) for name, array in instances.items()}
                for key, instances in sample.items()
            }
        )
    return samples


def data_table(rows: list[dict]) -> str:
    """The figures as Markdown."""
    cells = [['what', 'variant', 'images', 's', 'ms per image', 'images/s', '× 1st variant']]
    for row in rows:
        per_image = row['seconds'] / row['images']
        figures = f'{row["seconds"]:.2f}', f'{1e3 * per_image:.2f}', f'{1 / per_image:.0f}'
        cells.append(
            [row['what'], row['way'], str(row['images']), *figures, f'{row["over_first"]:.2f}']
        )
    return GithubFlavoredMarkdownTable(cells).table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--devkit', help='a VOCdevkit with VOC2007; drawn shapes if not given')
    parser.add_argument('--turns', type=int, default=3, help='how often each is timed')
    args = parser.parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    with tempfile.TemporaryDirectory() as folder:
        devkit = dict(data_root=args.devkit) if args.devkit else drawn_devkit(Path(folder))
        print(f'{torch.get_num_threads()} of {os.cpu_count()} cores\n')
        print(data_table(measure_data(devkit, args.turns)))


if __name__ == '__main__':
    with user_errors():
        main()

"""Time a distilled step with flips, all views in the cache of the teacher, beside a plain step."""

import argparse
import copy
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from terminaltables import GithubFlavoredMarkdownTable
from torch import nn

from benchmarks.timing import medians
from benchmarks.training_step import CONFIG, distiller
from benchmarks.training_step import batch as random_batch
from benchmarks.training_step import step as random_step
from nst_det.cli import user_errors
from nst_det.config.load import load_config
from nst_det.datasets import FixedViews, make_shapes_devkit
from nst_det.engine.hooks.channels_last_hook import store_channels_last

IMAGES, SIDE, BATCH = 16, 320, 2
IMAGES_OF_EPOCHS = 8
PLAIN = 'plain step'
TEACHERS: dict[str, dict] = {
    'distilled step, no cache': {},
    'distilled step, all views cached': dict(cache='float32'),
    'distilled step, cached in bfloat16': dict(cache='bfloat16', cache_precision='bfloat16'),
}


def views_of_shapes(folder: Path, images: int = IMAGES) -> FixedViews:
    """The training pipeline of VOC2007 at 320 pixels on drawn shapes, as two views of each."""
    dataset = load_config(str(CONFIG)).train_dataloader.dataset
    root = make_shapes_devkit(folder, num_train=images, num_test=1, image_size=SIDE)
    dataset.update(data_root=f'{root}/', metainfo=dict(classes=('circle', 'square', 'star')))
    return DATASETS.build(dict(type='FixedViews', dataset=dataset, views=2))


def batches(views: FixedViews) -> list[dict]:
    """Load both views of all images, in batches as a data loader gives them."""
    pairs = list(itertools.product(range(views.views), range(views.images)))
    loaded = [views.load_view(image, view) for view, image in pairs]
    return [pseudo_collate(loaded[i : i + BATCH]) for i in range(0, len(loaded), BATCH)]


def training_step(model: nn.Module, data: list[dict]) -> Callable[[], object]:
    """Make a function that trains on the next batch, preprocessing and optimizer included."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = OptimWrapper(optimizer=torch.optim.SGD(weights, lr=1e-5, momentum=0.9))
    turns: Iterator[dict] = itertools.cycle(data)

    def step():
        batch = copy.deepcopy(next(turns))
        torch.manual_seed(0)
        return model.train_step(batch, optimizer)

    return step


def measure(turns: int, device: str, clock: Callable[[], float]) -> list[dict]:
    """Time the steps in turn, after all views are in the caches.

    Args:
        turns (int): How often each one is timed.
        device (str): ``'cpu'`` or ``'cuda'``.
        clock (Callable): Tells the time: see :func:`medians`.

    Returns:
        list[dict]: The rows of the table.
    """
    with tempfile.TemporaryDirectory() as folder:
        views = views_of_shapes(Path(folder) / 'shapes')
        started = clock()
        data = batches(views)
        print(f'loading: {1e3 * (clock() - started) / 2 / IMAGES:.1f} ms an image')
        steps: dict[str, Callable] = {}
        for name, options in TEACHERS.items():
            chosen = dict(options)
            if 'cache' in chosen:
                chosen['cache'] = f'{folder}/{chosen["cache"]}'
            model = distiller(device, **chosen)
            if 'cache' in chosen:
                fill(model, data)
            if PLAIN not in steps:
                steps[PLAIN] = training_step(plain_student(model, device), data)
            steps[name] = training_step(model, data)
        times = medians(steps, turns, device, clock)
        used = {
            path.name: sum(f.stat().st_size for f in path.rglob('*.data'))
            for path in Path(folder).iterdir()
        }
    return [
        dict(
            way=name,
            seconds=seconds,
            over_plain=seconds / times[PLAIN],
            bytes_per_view=used.get(TEACHERS.get(name, {}).get('cache', ''), 0) / 2 / IMAGES,
        )
        for name, seconds in times.items()
    ]


def plain_student(model: nn.Module, device: str) -> nn.Module:
    """Make the student of a distiller without the distiller, with the same weights."""
    student = MODELS.build(copy.deepcopy(load_config(str(CONFIG)).model.student))
    student.load_state_dict(model.student.state_dict())
    store_channels_last(student.to(device))
    return student.train()


def measure_epochs(epochs: int, device: str, clock: Callable[[], float]) -> list[list[float]]:
    """Train for some epochs, plain and distilled in turn, with a cache that is empty at first.

    A first step on another picture is not counted: it checks the speed-ups of the teacher, once in
    a training of any length.

    Args:
        epochs (int): How many; they visit the two views in turn.
        device (str): ``'cpu'`` or ``'cuda'``.
        clock (Callable): Tells the time: see :func:`medians`.

    Returns:
        list[list[float]]: Of each epoch, the seconds of the plain and of the distilled training.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = batches(views_of_shapes(Path(folder) / 'shapes', IMAGES_OF_EPOCHS))
        model = distiller(device, cache=f'{folder}/cache')
        models = plain_student(model, device), model
        for trained in models:
            random_step(trained, random_batch(BATCH, device, SIDE))
        steps = [training_step(trained, data) for trained in models]
        times = [[0.0, 0.0] for _ in range(epochs)]
        for epoch, seconds in enumerate(times):
            for _ in range(len(data) // 2):
                for i, train in enumerate(steps):
                    started = clock()
                    train()
                    seconds[i] += clock() - started
            plain, distilled = seconds
            print(f'epoch {epoch + 1}: {plain:.2f} s, distilled {distilled:.2f} s', flush=True)
    return times


@torch.no_grad()
def fill(model: nn.Module, data: list[dict]) -> None:
    """Let the teacher see all batches."""
    for batch in data:
        ready = model.data_preprocessor(copy.deepcopy(batch), True)
        taps = [tap for transfer in model.transfers for tap in transfer.teacher_taps]
        model.open_teacher()(ready['inputs'], ready['data_samples'], model.data_preprocessor, taps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--turns', type=int, default=31, help='how often each one is timed')
    parser.add_argument(
        '--cpu-time', action='store_true', help='count the time in which the process computes'
    )
    parser.add_argument(
        '--epochs', type=int, help='time a training of so many epochs, with an empty cache'
    )
    args = parser.parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    init_default_scope('mmdet')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(f'{device}, {torch.get_num_threads()} of {os.cpu_count()} cores')
    clock = time.process_time if args.cpu_time else time.perf_counter
    if args.epochs is not None:
        plain, distilled = map(sum, zip(*measure_epochs(args.epochs, device, clock)))
        print(f'plain {plain:.1f} s, distilled {distilled:.1f} s: {distilled / plain:.3f}')
        return
    cells = [['step', 'ms', '× plain step', 'KiB a view']]
    for row in measure(args.turns, device, clock):
        times = f'{1e3 * row["seconds"]:.1f}', f'{row["over_plain"]:.3f}'
        cells.append([row['way'], *times, f'{row["bytes_per_view"] / 2**10:.0f}'])
    print(f'\n{GithubFlavoredMarkdownTable(cells).table}')


if __name__ == '__main__':
    with user_errors():
        main()

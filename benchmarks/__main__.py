"""Measure what NST costs: `make bench`. A table, the figures as JSON, and a plot."""

import argparse
import copy
import json
import math
import os
import platform
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import torch
from mmengine.logging import MMLogger
from terminaltables import GithubFlavoredMarkdownTable

from benchmarks.data_and_evaluation import data_table, drawn_devkit, measure_data
from benchmarks.formulations import autograd_over_bmm, broadcast, five_products
from benchmarks.teacher_pass import measure_teacher, teacher_table
from benchmarks.timing import medians, peak_memory
from benchmarks.training_step import batch, distiller, step
from nst_det.models.losses import GaussianKernel, LinearKernel, PolynomialKernel, mmd2, nst_mmd2
from nst_det.models.losses.mmd.gram import GramMMD2, symmetric_gram
from nst_det.models.losses.mmd.patterns import squared_norms

matplotlib.use('Agg')
from matplotlib import pyplot as plt

OURS, BMM, FLOOR, BROADCAST = 'nst_det', 'autograd over bmm', 'five products', 'broadcast'
KERNELS = dict(linear=LinearKernel(), polynomial=PolynomialKernel(), Gaussian=GaussianKernel())
SHAPES = [(2, 576, 38, 63), (2, 256, 100, 152), (2, 576, 20, 20), (1, 128, 38, 63)]
GROWTH = {  # which size grows, from a map of (2, 256, 38, 64)
    'C': [(2, channels, 38, 64) for channels in (64, 128, 256, 512)],
    'HW': [(2, 256, height, 64) for height in (10, 19, 38, 76, 152)],
    'N': [(size, 256, 38, 64) for size in (1, 2, 4, 8)],
}
LARGEST_BROADCAST = 2**30  # bytes of its one largest tensor
# At most, so that all takes less than four minutes of one core: a broadcast takes seconds, and an
# exponent comes from several times.
BROADCAST_TURNS, GROWTH_TURNS = 1, 4


def loss_ways(shape: tuple, kernel: str, device: str) -> dict:
    """The formulations that can be run on maps of a shape, forward and backward."""
    student = torch.rand(shape, device=device).requires_grad_()
    teacher = torch.rand(shape, device=device)

    def way(formulation):
        def run():
            formulation(student, teacher, KERNELS[kernel]).mean().backward()
            student.grad = None

        return run

    ways = {
        FLOOR: lambda: five_products(student.detach(), teacher),
        OURS: way(nst_mmd2),
        BMM: way(autograd_over_bmm),
    }
    size, channels, height, width = shape
    if 4 * size * channels**2 * height * width <= LARGEST_BROADCAST:
        ways[BROADCAST] = way(broadcast)
    return ways


def measure_losses(turns: int, device: str) -> list[dict]:
    """Time and memory of every formulation, kernel by kernel and shape by shape."""
    rows = []
    for shape in SHAPES:
        gram = 4 * shape[0] * shape[1] ** 2
        for kernel in KERNELS:
            ways = loss_ways(shape, kernel, device)
            slow = {name: way for name, way in ways.items() if name == BROADCAST}
            quick = {name: way for name, way in ways.items() if name not in slow}
            times = medians(quick, turns, device)
            times |= medians(slow, min(turns, BROADCAST_TURNS), device)
            for name, seconds in times.items():
                rows.append(
                    dict(
                        shape=shape,
                        kernel=kernel,
                        formulation=name,
                        seconds=seconds,
                        over_floor=seconds / times[FLOOR],
                        over_ours=seconds / times[OURS],
                        peak_bytes=(peak := peak_memory(ways[name], device)),
                        peak_grams=peak / gram,
                    )
                )
            print(
                f'  {_shape(shape)} {kernel}: {times[OURS] / times[FLOOR]:.2f} of the floor',
                flush=True,
            )
    return rows


def measure_growth(turns: int, device: str) -> list[dict]:
    """How time grows with each size, and the exponent over the upper half of it."""
    rows = []
    for size, shapes in GROWTH.items():
        for kernel in KERNELS:
            points = []
            for shape in shapes:
                ways = loss_ways(shape, kernel, device)
                ways.pop(BROADCAST, None)
                points.append(medians(ways, turns, device))
            index = dict(N=[0], C=[1], HW=[2, 3])[size]
            grown = [math.prod(shape[i] for i in index) for shape in shapes]
            for name in points[0]:
                seconds = [point[name] for point in points]
                half = len(grown) // 2
                slope = np.polyfit(np.log(grown[half:]), np.log(seconds[half:]), 1)[0]
                rows.append(
                    dict(size=size, kernel=kernel, formulation=name, at=grown, seconds=seconds)
                    | dict(exponent=slope)
                )
        print(f'  growth with {size}: done', flush=True)
    return rows


def measure_step(turns: int, device: str) -> list[dict]:
    """A training step of VOC2007 at 320 pixels, plain and distilled, and what the difference is."""
    model = distiller(device)
    first = copy.deepcopy(model.student).to(memory_format=torch.contiguous_format)
    data = batch(2, device)
    student_map = torch.rand((2, 144, 20, 20), device=device).requires_grad_()
    teacher_map = torch.rand((2, 288, 20, 20), device=device)
    teacher = model.open_teacher()
    taps = [transfer.teacher_tap for transfer in model.transfers]

    def nst() -> None:
        nst_mmd2(student_map, teacher_map, PolynomialKernel()).mean().backward()

    def teach() -> None:
        teacher(data['inputs'], data['data_samples'], model.data_preprocessor, taps)

    ways = {
        'plain step': lambda: step(model.student, data),
        'plain step, channels first': lambda: step(first, data),
        'distilled step': lambda: step(model, data),
        'teacher to its tap': teach,
        'NST alone': nst,
    }
    times = medians(ways, turns, device)
    plain = times['plain step']
    both = plain + times['teacher to its tap']
    return [
        dict(
            part=name,
            seconds=seconds,
            over_plain=seconds / plain,
            over_plain_and_teacher=seconds / both,
            peak_bytes=peak_memory(ways[name], device),
        )
        for name, seconds in times.items()
    ]


def measure_choices(turns: int, device: str) -> list[dict]:
    """What each part of the loss takes, and what it took before or would take otherwise."""
    paths = []
    for channels in (576, 256):
        rows = torch.rand((2, channels, 2394), device=device)
        paths.append(
            (
                f'symmetric product, 2 × {channels} × 2394',
                {
                    'whole': lambda rows=rows: torch.bmm(rows, rows.mT),
                    'in three of four blocks': lambda rows=rows: symmetric_gram(rows),
                    'image by image': lambda rows=rows: [image @ image.mT for image in rows],
                    'the norms alone': lambda rows=rows: squared_norms(rows),
                },
            )
        )
    for kernel, positions, other in (
        ('polynomial', 400, 'HW × HW matrices'),
        ('linear', 2394, 'mean patterns'),
    ):
        x, y = (torch.rand((2, 576, positions), device=device) for _ in range(2))
        y.requires_grad_()
        gram = PolynomialKernel(degree=2 if kernel == 'polynomial' else 1)

        def way(formulation, y=y):
            def run():
                formulation().mean().backward()
                y.grad = None

            return run

        paths.append(
            (
                f'{kernel} kernel, 2 × 576 × {positions}, forward and backward',
                {
                    'Gram matrices': way(lambda x=x, y=y, gram=gram: GramMMD2.apply(x, y, gram)),
                    other: way(lambda x=x, y=y, name=kernel: mmd2(x, y, KERNELS[name])),
                },
            )
        )
    return [
        dict(what=what, way=name, seconds=seconds, over_first=seconds / next(iter(times.values())))
        for what, ways in paths
        for times in [medians(ways, turns, device)]
        for name, seconds in times.items()
    ]


def plot(growth: list[dict], file: Path) -> None:
    """Draw time against size, log–log."""
    figure, axes = plt.subplots(len(KERNELS), len(GROWTH), figsize=(11, 9), layout='constrained')
    for row, kernel in zip(axes, KERNELS):
        for axis, size in zip(row, GROWTH):
            for curve in growth:
                if (curve['size'], curve['kernel']) == (size, kernel):
                    label = f'{curve["formulation"]} (exponent {curve["exponent"]:.2f})'
                    axis.loglog(curve['at'], [1e3 * s for s in curve['seconds']], 'o-', label=label)
            sizes = next(curve['at'] for curve in growth if curve['size'] == size)
            axis.set_xticks(sizes, [str(value) for value in sizes])
            axis.set_xticks([], minor=True)
            axis.set(title=f'{kernel}, growing {size}', xlabel=size, ylabel='ms, fwd + bwd')
            axis.legend(fontsize=7)
            axis.grid(True, which='both', alpha=0.3)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _shape(shape: tuple) -> str:
    return '{} × {} × {}×{}'.format(*shape)


def tables(figures: dict) -> str:
    """The figures as Markdown."""
    losses = [
        ['N × C × H×W', 'kernel', 'formulation', 'ms', '× floor', '× nst_det', 'Grams', 'MiB']
    ]
    for row in figures['losses']:
        losses.append(
            [
                _shape(row['shape']),
                row['kernel'],
                row['formulation'],
                f'{1e3 * row["seconds"]:.1f}',
                f'{row["over_floor"]:.2f}',
                f'{row["over_ours"]:.2f}',
                f'{row["peak_grams"]:.1f}',
                f'{row["peak_bytes"] / 2**20:.1f}',
            ]
        )
    steps = [['part', 'ms', '× plain step', '× (plain step + teacher)', 'MiB']]
    for row in figures['step']:
        steps.append(
            [
                row['part'],
                f'{1e3 * row["seconds"]:.1f}',
                f'{row["over_plain"]:.3f}',
                f'{row["over_plain_and_teacher"]:.3f}',
                f'{row["peak_bytes"] / 2**20:.1f}',
            ]
        )
    growth = [['kernel', 'formulation', *(f'{size}: exponent' for size in GROWTH)]]
    for kernel in KERNELS:
        for name in (FLOOR, OURS, BMM):
            found = {
                row['size']: row['exponent']
                for row in figures['growth']
                if (row['kernel'], row['formulation']) == (kernel, name)
            }
            growth.append([kernel, name, *(f'{found[size]:.2f}' for size in GROWTH)])
    choices = [['what', 'variant', 'ms', '× 1st variant']]
    for row in figures['choices']:
        cells = [row['what'], row['way'], f'{1e3 * row["seconds"]:.2f}', f'{row["over_first"]:.2f}']
        choices.append(cells)
    drawn = [GithubFlavoredMarkdownTable(rows).table for rows in (losses, growth, choices, steps)]
    drawn += [teacher_table(figures['teacher']), data_table(figures['data'])]
    titles = [
        'The loss, forward and backward (medians; peak memory beside the maps, gradient included)',
        'How time grows, from 2 × 256 × 38×64 (1 is in proportion)',
        'What each choice within the loss gives',
        'A training step: VOC2007 at 320 pixels, 2 images',
        "The teacher's pass, and the step around it, by the teacher's options",
        'Data and evaluation: drawn shapes of 500 pixels, loaded at 600 as VOC is',
    ]
    return '\n\n'.join(f'{title}:\n\n{table}' for title, table in zip(titles, drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out', default='work_dirs/bench', help='folder of bench.json and bench.png'
    )
    parser.add_argument('--turns', type=int, default=7, help='how often each is timed')
    args = parser.parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    name = torch.cuda.get_device_name() if device == 'cuda' else platform.processor() or 'CPU'
    machine = (
        f'{name}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}'
    )
    print(f'{machine}\nthe loss:', flush=True)
    figures = dict(machine=machine, losses=measure_losses(args.turns, device))
    figures['growth'] = measure_growth(min(args.turns, GROWTH_TURNS), device)
    figures['choices'] = measure_choices(args.turns, device)
    print('training steps:', flush=True)
    figures['step'] = measure_step(args.turns, device)
    figures['teacher'] = measure_teacher(args.turns, device)
    print('data and evaluation:', flush=True)
    with tempfile.TemporaryDirectory() as devkit:
        figures['data'] = measure_data(drawn_devkit(Path(devkit)), min(args.turns, 3))
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'bench.json').write_text(json.dumps(figures, indent=1))
    plot(figures['growth'], folder / 'bench.png')
    print(f'\n{tables(figures)}\n\nfigures: {folder / "bench.json"}, plot: {folder / "bench.png"}')


if __name__ == '__main__':
    main()

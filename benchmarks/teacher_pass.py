"""Time the teacher's pass to its tap, and the distilled step, by the teacher's options."""

import argparse
import os
import tempfile
from functools import partial

import torch
from mmengine.logging import MMLogger
from terminaltables import GithubFlavoredMarkdownTable
from torch import nn

from benchmarks.timing import medians, peak_memory
from benchmarks.training_step import batch, distiller, step
from nst_det.cli import user_errors

PLAIN = dict(fuse=False, channels_last=False)
AS_LOADED, DEFAULT, CACHED = 'as loaded', 'the default', 'from its cache'
OPTIONS = {
    AS_LOADED: PLAIN,
    'fused': dict(fuse=True, channels_last=False),
    'channels last': dict(fuse=False, channels_last=True),
    'fused, channels last': dict(fuse=True, channels_last=True),
    'bfloat16': dict(precision='bfloat16'),
    DEFAULT: {},
}


def measure_teacher(turns: int, device: str) -> list[dict]:
    """The teacher of VOC2007 at 320 pixels on 2 images, and the whole distilled step."""
    data = batch(2, device)
    with tempfile.TemporaryDirectory() as folder:
        options = {**OPTIONS, CACHED: dict(cache=folder)}
        models = {name: distiller(device, **one) for name, one in options.items()}
        passes = {name: partial(teach, model, data) for name, model in models.items()}
        times = medians(passes, turns, device)
        first = times[AS_LOADED]
        rows = [
            dict(
                part='teacher to its tap',
                way=name,
                seconds=seconds,
                over_first=seconds / first,
                peak_bytes=peak_memory(passes[name], device),
            )
            for name, seconds in times.items()
        ]
        steps = {name: partial(step, models[name], data) for name in (AS_LOADED, DEFAULT, CACHED)}
        steps['without a teacher'] = partial(step, models[DEFAULT].student, data)
        steps['the pass alone'] = passes[DEFAULT]  # for the sum that the step is set against
        times = medians(steps, turns, device)
    alone = times.pop('the pass alone')
    both = times['without a teacher'] + alone
    rows += [
        dict(
            part='distilled step',
            way=name,
            seconds=seconds,
            over_first=seconds / times[AS_LOADED],
            over_plain_and_teacher=seconds / both,
            peak_bytes=peak_memory(steps[name], device),
        )
        for name, seconds in times.items()
    ]
    return rows


def teach(model: nn.Module, data: dict) -> None:
    """One pass of a distiller's teacher."""
    taps = [tap for transfer in model.transfers for tap in transfer.teacher_taps]
    model.open_teacher()(data['inputs'], data['data_samples'], model.data_preprocessor, taps)


def teacher_table(rows: list[dict]) -> str:
    """The figures as Markdown."""
    cells = [['part', "the teacher's pass", 'ms', '× as loaded', '× (plain step + teacher)', 'MiB']]
    for row in rows:
        over = row.get('over_plain_and_teacher')
        cells.append(
            [
                row['part'],
                row['way'],
                f'{1e3 * row["seconds"]:.1f}',
                f'{row["over_first"]:.2f}',
                '' if over is None else f'{over:.2f}',
                f'{row["peak_bytes"] / 2**20:.1f}',
            ]
        )
    return GithubFlavoredMarkdownTable(cells).table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--turns', type=int, default=7, help='how often each is timed')
    args = parser.parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(f'{device}, {torch.get_num_threads()} of {os.cpu_count()} cores\n')
    print(teacher_table(measure_teacher(args.turns, device)))


if __name__ == '__main__':
    with user_errors():
        main()

"""Time the forward pass of a teacher and the distilled step with the options of the teacher."""

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
    """Time the forward pass of the teacher on 2 images of 320 pixels, and the distilled step.

    Args:
        turns (int): How often each one is timed.
        device (str): ``'cpu'`` or ``'cuda'``.

    Returns:
        list[dict]: The rows of the table.
    """
    data = batch(2, device)
    with tempfile.TemporaryDirectory() as folder:
        options = {**OPTIONS, CACHED: dict(cache=folder)}
        models = {name: distiller(device, **teacher) for name, teacher in options.items()}
        passes = {name: partial(run_teacher, model, data) for name, model in models.items()}
        rows = _rows('teacher to its tap', passes, medians(passes, turns, device), device)
        steps = {name: partial(step, models[name], data) for name in (AS_LOADED, DEFAULT, CACHED)}
        steps['without a teacher'] = partial(step, models[DEFAULT].student, data)
        # Timed again beside the steps, for their sum.
        times = medians({**steps, 'teacher': passes[DEFAULT]}, turns, device)
        sum_of_parts = times['without a teacher'] + times.pop('teacher')
        step_rows = _rows('distilled step', steps, times, device)
    for row in step_rows:
        row['over_plain_and_teacher'] = row['seconds'] / sum_of_parts
    return rows + step_rows


def _rows(part: str, functions: dict, times: dict[str, float], device: str) -> list[dict]:
    return [
        dict(
            part=part,
            way=name,
            seconds=seconds,
            over_first=seconds / times[AS_LOADED],
            peak_bytes=peak_memory(functions[name], device),
        )
        for name, seconds in times.items()
    ]


def run_teacher(model: nn.Module, data: dict) -> None:
    """Run the forward pass of a distiller's teacher."""
    taps = [tap for transfer in model.transfers for tap in transfer.teacher_taps]
    model.open_teacher()(data['inputs'], data['data_samples'], model.data_preprocessor, taps)


def teacher_table(rows: list[dict]) -> str:
    """Write the figures as a Markdown table."""
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
    parser.add_argument('--turns', type=int, default=7, help='how often each one is timed')
    args = parser.parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(f'{device}, {torch.get_num_threads()} of {os.cpu_count()} cores\n')
    print(teacher_table(measure_teacher(args.turns, device)))


if __name__ == '__main__':
    with user_errors():
        main()

"""Time a training step with each loss of the table of losses, side by side, and its peak memory.

The detectors are those of ``configs/tables/losses_shapes.py``, untrained, on images of 320 pixels.
On a CPU with one thread (OMP_NUM_THREADS=1) the times are those of the process, not of the wall.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from terminaltables import GithubFlavoredMarkdownTable
from torch import nn

from benchmarks.teacher_pass import run_teacher
from benchmarks.timing import medians, peak_memory
from benchmarks.training_step import batch, step
from nst_det.cli import user_errors
from nst_det.engine.hooks.channels_last_hook import store_channels_last
from nst_det.experiments import read_rows
from nst_det.models.distillers.transfers.base import Batch

TABLE = Path(__file__).resolve().parents[1] / 'configs/tables/losses_shapes.py'
TEACHER = "the teacher's pass to the layer"
IMAGES, SIDE = 4, 320  # the images of the table's batch: RKD compares at least three


def build(cfg: Config, device: str) -> nn.Module:
    """Build the model of a row, with an untrained teacher and the weight 1."""
    torch.manual_seed(0)
    model = cfg.model
    if 'transfers' in model:
        model.teacher.checkpoint = 'random'
        model.monitor_interval = 0
        model.transfers[0].loss.loss_weight = 1.0
    detector = MODELS.build(model)
    detector.init_weights()
    store_channels_last(detector.to(device))  # as the config does
    return detector.train()


def loss_alone(model: nn.Module, data: dict) -> Callable[[], None]:
    """Prepare the forward and the backward pass of a distiller's one loss, up to its inputs.

    What the teacher's head computes for the loss is a part of it; the teacher's backbone is not.
    """
    transfer = model.transfers[0]
    taps = transfer.teacher_taps
    images, samples = data['inputs'], data['data_samples']
    teacher_output = model.open_teacher()(
        images, samples, model.data_preprocessor, taps, with_logits=transfer.needs_logits
    )
    with transfer.record(model.student) as output:
        model.student.loss(images, samples)
    compared = Batch.of(images, samples, model.ignore_padding)
    tensors = [tensor.detach().requires_grad_() for tensor in output.tensors]

    def run() -> None:
        transfer.compare(tensors, output, compared, teacher_output).backward()
        for tensor in [*tensors, *transfer.loss.parameters()]:
            tensor.grad = None

    return run


def measure(turns: int, device: str) -> list[dict]:
    """Time in turn the steps of all rows, their losses alone and the teacher's pass.

    Args:
        turns (int): How often each one is timed.
        device (str): ``'cpu'`` or ``'cuda'``.

    Returns:
        list[dict]: A row for the plain step, for each loss, and for the teacher's pass.
    """
    init_default_scope('mmdet')
    data = batch(IMAGES, device, SIDE)
    models = {cfg.method: build(cfg, device) for cfg in read_rows([str(TABLE)]).values()}
    plain, *losses = models
    steps = {name: partial(step, model, data) for name, model in models.items()}
    alone = {name: loss_alone(models[name], data) for name in losses}
    alone[TEACHER] = partial(run_teacher, models[losses[0]], data)
    print('  the models: done', flush=True)
    alone_on_cpu = device == 'cpu' and torch.get_num_threads() == 1
    clock = time.process_time if alone_on_cpu else time.perf_counter
    ways = {('step', name): way for name, way in steps.items()}
    ways |= {('alone', name): way for name, way in alone.items()}
    times = medians(ways, turns, device, clock)
    print('  the times: done', flush=True)
    seconds_of_plain = times['step', plain]
    return [
        dict(
            loss=name,
            part=part,
            seconds=seconds,
            over_plain=seconds / seconds_of_plain,
            peak_bytes=peak_memory(ways[part, name], device),
        )
        for (part, name), seconds in times.items()
    ]


def table(rows: list[dict]) -> str:
    """Write the figures as a Markdown table: a loss alone, and the step with it."""
    cells = [['loss', 'alone, ms', '× plain step', 'MiB', 'step, ms', '× plain step', 'MiB']]
    names = dict.fromkeys(row['loss'] for row in rows)
    for name in names:
        parts = {row['part']: row for row in rows if row['loss'] == name}
        cells.append([name, *_figures(parts.get('alone')), *_figures(parts.get('step'))])
    return GithubFlavoredMarkdownTable(cells).table


def _figures(row: dict | None) -> list[str]:
    if row is None:
        return [''] * 3
    return [
        f'{1e3 * row["seconds"]:.1f}',
        f'{row["over_plain"]:.2f}',
        f'{row["peak_bytes"] / 2**20:.1f}',
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--turns', type=int, default=7, help='how often each one is timed')
    parser.add_argument(
        '--out', default='work_dirs/bench/losses.json', help='file for the figures as JSON'
    )
    args = parser.parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    threads = f'{torch.get_num_threads()} of {os.cpu_count()} cores'
    print(f'{device}, {threads}, {IMAGES} images of {SIDE} pixels', flush=True)
    rows = measure(args.turns, device)
    file = Path(args.out)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=1))
    print(f'\n{table(rows)}\n\nfigures: {file}')


if __name__ == '__main__':
    with user_errors():
        main()

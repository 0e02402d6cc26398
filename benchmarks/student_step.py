"""Where the time of a student's training step goes: `python -m benchmarks.student_step CONFIG`."""

import argparse

import torch
from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from terminaltables import GithubFlavoredMarkdownTable
from torch.profiler import ProfilerActivity, profile

import nst_det  # noqa: F401  registers what it adds to mmdet
from benchmarks.training_step import batch, step
from nst_det.config.detector import is_distiller
from nst_det.config.load import load_config
from nst_det.engine.hooks.channels_last_hook import store_channels_last

# What an operator of torch belongs to, by a part of its name; the first that fits counts.
GROUPS = {
    'convolutions and fully connected layers': ('conv', 'addmm', 'linear'),
    'norms': ('batch_norm', 'group_norm'),
    'ReLU': ('threshold_backward', 'clamp_min', 'relu'),
    'average pools': ('avg_pool',),
    'max pools': ('max_pool',),
    'RoIAlign': ('roi_align',),
    'NMS': ('nms',),
    'concatenation': ('cat', 'slice_backward'),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config of a student, or of its distiller')
    parser.add_argument('--images', type=int, default=8, help='of a batch (default: 8)')
    parser.add_argument('--side', type=int, default=320, help='of an image (default: 320)')
    parser.add_argument('--steps', type=int, default=5, help='to measure (default: 5)')
    parser.add_argument('--bfloat16', action='store_true', help='with autocast in bfloat16')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    cfg = load_config(args.config)
    student = MODELS.build(cfg.model.student if is_distiller(cfg.model) else cfg.model)
    student.init_weights()
    store_channels_last(student)
    student.train()
    data = batch(args.images, 'cpu', args.side)
    with torch.autocast('cpu', torch.bfloat16, enabled=args.bfloat16):
        step(student, data)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(args.steps):
                step(student, data)
    seconds = dict.fromkeys([*GROUPS, 'everything else'], 0.0)
    for event in profiler.key_averages():
        own = [group for group, parts in GROUPS.items() if any(p in event.key for p in parts)]
        seconds[own[0] if own else 'everything else'] += event.self_cpu_time_total / 1e6
    total = sum(seconds.values())
    rows = [
        [name, f'{1e3 * value / args.steps:.0f}', f'{100 * value / total:.1f} %']
        for name, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    rows.append(['a step', f'{1e3 * total / args.steps:.0f}', '100 %'])
    table = GithubFlavoredMarkdownTable([['part', 'ms', 'share'], *rows])
    table.justify_columns = {1: 'right', 2: 'right'}
    print(table.table)


if __name__ == '__main__':
    main()

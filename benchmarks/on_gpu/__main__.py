"""Check nst_det on a GPU and measure what it costs there: one JSON and one Markdown file."""

import argparse
import os
import sys
import warnings
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import nst_det  # noqa: F401  registers what it adds to mmdet
from benchmarks.on_gpu.losses import losses_are_right, losses_cost
from benchmarks.on_gpu.photographs import photographs
from benchmarks.on_gpu.report import Report, Setup, Stage
from benchmarks.on_gpu.steps import (
    against_mmrazor,
    cached_views,
    compiled_teacher,
    steps_cost,
    teacher_options,
)
from benchmarks.on_gpu.trainings import (
    device_moves,
    fsdp_is_refused,
    one_process_ddp,
    resuming,
    trainings,
)
from nst_det.cli import user_errors
from nst_det.errors import UserError

# The most valuable first: whoever lends a GPU may take it back.
STAGES: dict[str, Stage] = {
    'losses_are_right': losses_are_right,
    'trainings': trainings,
    'steps_cost': steps_cost,
    'losses_cost': losses_cost,
    'teacher_options': teacher_options,
    'cached_views': cached_views,
    'one_process_ddp': one_process_ddp,
    'fsdp_is_refused': fsdp_is_refused,
    'resuming': resuming,
    'device_moves': device_moves,
    'against_mmrazor': against_mmrazor,
    'compiled_teacher': compiled_teacher,
    'photographs': photographs,
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda', choices=['cuda', 'cpu'])
    parser.add_argument('--small', action='store_true', help='reduce all sizes, to try it')
    parser.add_argument('--only', nargs='+', choices=STAGES, help='only these stages')
    parser.add_argument('--turns', type=int, help='how often each is timed (default: 15; small: 1)')
    parser.add_argument('--mmrazor', type=Path, help="a checkout of mmrazor's repository")
    parser.add_argument('--photographs', type=Path, metavar='DEVKIT', help='a devkit of VOC2007')
    parser.add_argument(
        '--minutes', type=float, default=5.0, help='time of the photographs (default: 5)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path(os.environ.get('OUT', 'work_dirs/on_gpu')),
        help='folder of on_gpu.json and on_gpu.md (default: $OUT, or work_dirs/on_gpu)',
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/on_gpu'), help='folder of the trainings'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('torch finds no GPU: --device cpu --small tries the stages on a CPU')
    warnings.filterwarnings('ignore')
    MMLogger.get_instance('on_gpu', log_level='ERROR')
    init_default_scope('mmdet')
    setup = Setup(
        device=args.device,
        small=args.small,
        results=args.out,
        work_dir=args.work_dir.absolute(),
        turns=args.turns or (1 if args.small else 15),
        mmrazor=args.mmrazor,
        photographs=args.photographs,
        minutes=args.minutes,
    )
    report = Report(setup)
    for name in STAGES:
        if not args.only or name in args.only:
            report.run(name, STAGES[name])
    print(f'\n{report.markdown()}\nwritten to {args.out}/on_gpu.json and on_gpu.md')
    sys.exit(1 if report.faults else 0)


if __name__ == '__main__':
    with user_errors():
        main()

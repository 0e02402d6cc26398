"""Train and test a table of methods over several seeds, and write it as Markdown, CSV and PNG.

A finished training is not repeated, and an interrupted one is resumed: call the tool again with the
same configs and work dir. Each training writes its output into its own log file.
"""

import argparse
from pathlib import Path

import nst_det_tool

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes, add_seeds, check_different, check_seeds
    from nst_det.config.find import find_config

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='a table, such as configs/tables/table4_shapes.py, or a config that is one row',
    )
    parser.add_argument('--rows', nargs='+', default=[], metavar='ROW', help='only these rows')
    add_seeds(parser)
    parser.add_argument(
        '--work-dir',
        default='work_dirs/table',
        help='folder for the trainings and the table (default: work_dirs/table)',
    )
    parser.add_argument(
        '--teacher',
        metavar='CONFIG',
        help='teacher of all distilled rows, to be trained first; without this option each row '
        'needs the checkpoint that its config names',
    )
    parser.add_argument(
        '--baseline',
        metavar='ROW',
        help='row that the other rows are compared with (default: the first row)',
    )
    parser.add_argument(
        '--gpus',
        nargs='+',
        default=[],
        metavar='GPU',
        help='run one process at a time on each of these GPUs, numbered as in '
        'CUDA_VISIBLE_DEVICES; a GPU that is named several times runs as many at a time (0 0 0: '
        'three on GPU 0); without this option one process runs at a time, in the unchanged '
        'environment',
    )
    parser.add_argument(
        '--executor',
        choices=['local', 'ray', 'slurm'],
        default='local',
        help='where to train: on this machine, on a Ray cluster (that is there, else one that is '
        'started on this machine), or in jobs of Slurm (default: local)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='how many trainings to hand over to Ray or Slurm at a time (default: 64)',
    )
    parser.add_argument(
        '--executor-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='options of a Ray task, such as num_gpus=0.5, and the address of the cluster; or '
        'parameters of submitit, such as slurm_partition=gpu',
    )
    parser.add_argument(
        '--metric',
        nargs='+',
        default=[],
        metavar='KEY',
        help='metrics to show, as the test reports them, such as coco/bbox_mAP coco/bbox_mAP_50; '
        'rows are compared by the first (default: the main metric of the evaluator)',
    )
    parser.add_argument(
        '--paper',
        action='store_true',
        help='show the values of the NST paper beside ours, for VOC, CIFAR and ImageNet',
    )
    add_changes(parser)
    args = parser.parse_args()
    check_seeds(args.seeds)
    check_different('--metric', args.metric)
    for config in [*args.configs, *([args.teacher] if args.teacher else [])]:
        find_config(config)
    return args


def main(args: argparse.Namespace) -> None:
    from nst_det.config.load import load_config
    from nst_det.config.settings import parse_changes
    from nst_det.experiments import TableRun, prepare_row, read_rows
    from nst_det.experiments.open_executor import open_executor

    rows = read_rows(args.configs, args.rows)
    for name, cfg in rows.items():
        prepare_row(name, cfg, args.cfg_options)
    teacher = args.teacher and load_config(args.teacher)
    if teacher:
        prepare_row(args.teacher, teacher, args.cfg_options)
    work_dir = Path(args.work_dir)
    run = TableRun(
        rows, args.seeds, work_dir, TOOLS, teacher, args.baseline, args.paper, args.metric
    )
    options = parse_changes(args.executor_options)
    executor = open_executor(args.executor, work_dir, args.gpus, args.jobs, options)
    table = run.run(executor)
    print(f'\n{table.markdown()}\nwritten to {work_dir}/table.md, table.csv and table.png')


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

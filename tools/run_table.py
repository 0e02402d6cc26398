"""Train and test a table of methods over several seeds, and write it as Markdown, CSV and PNG.

A finished training is not repeated, and an interrupted one is resumed: call the tool again with the
same configs and work dir. Each training writes its output into its own log file.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from mmengine.config import Config

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes
    from nst_det.config.find import find_config
    from nst_det.errors import UserError

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
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0],
        help='seeds to train every row with (default: 0)',
    )
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
        '--metric',
        nargs='+',
        default=[],
        metavar='KEY',
        help='metrics to show, as the test reports them, such as coco/bbox_mAP coco/bbox_mAP_50; '
        'rows are compared by the first (default: the main metric of the evaluator)',
    )
    parser.add_argument(
        '--paper', action='store_true', help='show the rows of table 4 of the NST paper beside ours'
    )
    add_changes(parser)
    args = parser.parse_args()
    for option, values in [('--seeds', args.seeds), ('--metric', args.metric)]:
        if len(set(values)) < len(values):
            raise UserError(f'{option} has a value twice: {" ".join(map(str, values))}')
    if min(args.seeds) < 0:
        raise UserError(f'--seeds has {min(args.seeds)}, expected numbers of at least 0')
    for config in [*args.configs, *([args.teacher] if args.teacher else [])]:
        find_config(config)
    return args


def main(args: argparse.Namespace) -> None:
    from nst_det.config.load import load_config
    from nst_det.experiments import TableRun, read_rows

    rows = read_rows(args.configs, args.rows)
    for name, cfg in rows.items():
        prepare(name, cfg, args.cfg_options)
    teacher = args.teacher and load_config(args.teacher)
    if teacher:
        prepare(args.teacher, teacher, args.cfg_options)
    work_dir = Path(args.work_dir)
    run = TableRun(
        rows, args.seeds, work_dir, TOOLS, teacher, args.baseline, args.paper, args.metric
    )
    table = run.run(args.gpus)
    print(f'\n{table.markdown()}\nwritten to {work_dir}/table.md, table.csv and table.png')


def prepare(name: str, cfg: 'Config', changes: list[str]) -> None:
    """Make the changes of --cfg-options, and try to build the detector: mistakes show at once."""
    from copy import deepcopy

    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    from nst_det.config.settings import change
    from nst_det.errors import UserError

    init_default_scope('mmdet')
    change(cfg, changes)
    if not isinstance(cfg.get('model'), dict) or 'type' not in cfg.model:
        raise UserError(f'{name} has no model with a type: give the config of a detector')
    try:
        MODELS.build(deepcopy(cfg.model))  # a copy, because mmdet's detectors write into it
    except UserError as error:
        raise UserError(f'{name}: {error}', error.option) from error


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

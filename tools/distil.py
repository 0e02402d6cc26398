"""Distil a student in one command: add NST, choose its weight, train, test and report.

All is written into the work dir. Call the tool again with the same options after an interruption:
what is finished is not repeated, and a training resumes from its last checkpoint.
"""

import argparse
from pathlib import Path

import nst_det_tool

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_addition, add_changes, add_seeds, check_addition, check_seeds

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_addition(parser)
    add_seeds(parser)
    parser.add_argument(
        '--baseline',
        action='store_true',
        help='train the student without a teacher as well, to compare with',
    )
    parser.add_argument(
        '--work-dir', help='folder for all results (default: work_dirs/STUDENT_distil)'
    )
    add_changes(parser)
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='check the configs and the checkpoint, print what would be done, and do nothing',
    )
    args = parser.parse_args()
    check_addition(args)
    check_seeds(args.seeds)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger

    from nst_det.apis.add_nst import Addition, parse_pair
    from nst_det.cli import addition_options
    from nst_det.experiments.distillation import Distillation
    from nst_det.experiments.read_rows import config_name

    MMLogger.get_current_instance().setLevel('WARNING')  # without how each weight is initialised
    distillation = Distillation(
        addition=Addition(**addition_options(args)),
        pairs=[parse_pair(layer) for layer in args.layers],
        batches=args.batches,
        changes=args.cfg_options,
        seeds=args.seeds,
        baseline=args.baseline,
        work_dir=Path(args.work_dir or f'work_dirs/{config_name(args.student)}_distil'),
        tools=TOOLS,
    )
    if args.dry_run:
        distillation.show()
        return
    table = distillation.run()
    print(f'\n{table.markdown()}')
    print(f'The report, to open in a browser: {distillation.report}')
    for checkpoint in distillation.checkpoints():
        print(f'The student, to use with {args.student}: {checkpoint}')


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

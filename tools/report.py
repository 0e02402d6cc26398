"""Write one HTML file about one or several trainings: results, curves, detections, patterns.

Give the work dirs of a teacher, a baseline and a distilled student, or of any of them. The file
needs no network and no other file.
"""

import argparse
from pathlib import Path

import nst_det_tool


def parse_args() -> argparse.Namespace:
    from nst_det.errors import UserError
    from nst_det.fileio.find import find_work_dir

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='work dir of a training, see tools/train.py',
    )
    parser.add_argument(
        '-o', '--out', default='report.html', help='HTML file to write (default: report.html)'
    )
    parser.add_argument(
        '--title',
        default='Distillation report',
        help='heading of the report (default: Distillation report)',
    )
    args = parser.parse_args()
    if not args.out.endswith(('.html', '.htm')):
        raise UserError(f'--out is {args.out}, expected the name of an .html file')
    for work_dir in args.work_dirs:
        find_work_dir(work_dir)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger

    from nst_det.experiments.report import read_runs, write_report

    MMLogger.get_current_instance().setLevel('WARNING')  # without how each weight is initialised
    runs = read_runs(args.work_dirs)
    for run in runs:
        print(f'{run.folder}: {run.role}, {run.results.text}', flush=True)
        for text in run.missing:
            print(f'  {text}', flush=True)
    write_report(runs, Path(args.out), args.title, lambda step: print(f'{step} …', flush=True))
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

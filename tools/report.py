"""Write one HTML file on one training or several: results, curves, detections, what was learned.

Give the work dirs of a teacher, a baseline and a distilled student, or of any of them. The file
needs no network and nothing beside it.
"""

import argparse
from pathlib import Path

from mmengine.logging import MMLogger

import nst_det  # noqa: F401  registers what the configs name
from nst_det.cli import run
from nst_det.errors import UserError
from nst_det.experiments.report import read_runs, write_report


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='what --work-dir of tools/train.py named'
    )
    parser.add_argument('-o', '--out', default='report.html', help='the file (report.html)')
    parser.add_argument('--title', default='Distillation report', help='its heading')
    args = parser.parse_args()
    if not args.out.endswith(('.html', '.htm')):
        raise UserError(f'--out is {args.out}, expected the name of an .html file')
    return args


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')  # not how every weight is initialised
    runs = read_runs(args.work_dirs)
    for one in runs:
        score = 'no mAP' if one.score is None else f'mAP {100 * one.score:.1f}'
        print(f'{one.folder}: {one.role}, {score}', flush=True)
        for lack in one.lacks:
            print(f'  {lack}', flush=True)
    write_report(runs, Path(args.out), args.title, lambda what: print(f'{what} …', flush=True))
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    run(main)

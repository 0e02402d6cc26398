"""Download and unpack PASCAL VOC, or check a devkit that is there."""

import argparse
from pathlib import Path

import nst_det  # noqa: F401  before mmdet: it supplies mmcv's ops
from nst_det.cli import run
from nst_det.datasets.voc_check import check_devkit
from nst_det.datasets.voc_download import ARCHIVES, prepare_devkit
from nst_det.errors import UserError

SHOWN = 20


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'out', nargs='?', default='data', help='folder in which VOCdevkit is made; default: data'
    )
    parser.add_argument(
        '--years', nargs='+', choices=ARCHIVES, default=['2007'], help='default: 2007'
    )
    parser.add_argument(
        '--archives', metavar='DIR', help='folder with the .tar files, or for them; default: OUT'
    )
    parser.add_argument(
        '--check',
        metavar='DIR',
        help='check the devkit there, every list, annotation and image, and change nothing',
    )
    parser.add_argument(
        '--subset', action='store_true', help="with --check: the lists may be shorter than VOC's"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.check is None:
        devkit = prepare_devkit(args.out, args.years, args.archives)
        print(
            f"the devkit is {devkit}: set data_root='{devkit}/', and check it by --check {devkit}"
        )
        return
    check = check_devkit(Path(args.check), args.subset)
    print(check)
    for fault in check.faults[:SHOWN]:
        print(fault)
    if check.faults:
        more = f', {SHOWN} of them above' if len(check.faults) > SHOWN else ''
        raise UserError(f'{args.check} has {len(check.faults)} faults{more}')
    print('no faults')


if __name__ == '__main__':
    run(main)

"""Download and unpack PASCAL VOC, or check a devkit or an export in VOC's format."""

import argparse
from pathlib import Path

import nst_det_tool

YEARS = ('2007', '2012')
SHOWN = 20  # faults


def parse_args() -> argparse.Namespace:
    from nst_det.fileio.find import find_devkits

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'out', nargs='?', default='data', help='folder in which to make VOCdevkit (default: data)'
    )
    parser.add_argument(
        '--years',
        nargs='+',
        choices=YEARS,
        default=['2007'],
        help='2007 is trainval and test, 2012 is trainval (default: 2007)',
    )
    parser.add_argument(
        '--archives',
        metavar='DIR',
        help='folder that holds the .tar files, or into which to download them (default: OUT)',
    )
    parser.add_argument(
        '--check',
        metavar='DIR',
        help='check all lists, annotations and images in this folder and change nothing; list '
        'classes, counts and sizes, and write the metainfo line for a config',
    )
    parser.add_argument(
        '--subset',
        action='store_true',
        help="with --check: accept lists that are shorter than VOC's",
    )
    parser.add_argument(
        '--negatives-without-xml',
        action='store_true',
        help='with --check: images without an annotation are images without objects',
    )
    args = parser.parse_args()
    if args.check is not None:
        find_devkits(args.check)
    return args


def main(args: argparse.Namespace) -> None:
    from nst_det.datasets.voc_check import check_devkit
    from nst_det.datasets.voc_download import prepare_devkit
    from nst_det.errors import UserError

    if args.check is None:
        devkit = prepare_devkit(args.out, args.years, args.archives)
        print(
            f"the devkit is {devkit}: set data_root='{devkit}/', and check it with --check {devkit}"
        )
        return
    check = check_devkit(Path(args.check), args.subset, args.negatives_without_xml)
    print(check)
    print('\n' + '\n'.join(['for a config:', check.metainfo(), *check.settings]) + '\n')
    for fault in check.faults[:SHOWN]:
        print(fault)
    if check.faults:
        more = f', {SHOWN} of them above' if len(check.faults) > SHOWN else ''
        raise UserError(f'{args.check} has {len(check.faults)} faults{more}')
    print('no faults')


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

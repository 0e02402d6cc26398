"""Write a config that adds NST to a detector's config: a teacher, the layers, the weight.

The layers are tried on a few batches of the training data. Nothing is trained.
"""

import argparse
from functools import partial
from pathlib import Path

import nst_det_tool


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_addition, check_addition

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_addition(parser)
    parser.add_argument('-o', '--out', help='config file to write (default: STUDENT_nst.py)')
    args = parser.parse_args()
    check_addition(args)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger

    from nst_det.apis.add_nst import Addition, add_nst, parse_pair
    from nst_det.cli import addition_options

    MMLogger.get_current_instance().setLevel('WARNING')  # without how each weight is initialised
    out = args.out or f'{Path(args.student.split("::")[-1]).stem}_nst.py'
    say = partial(print, flush=True)
    pairs = [parse_pair(layer) for layer in args.layers]
    add_nst(Addition(**addition_options(args)), out, pairs, say, args.batches)


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

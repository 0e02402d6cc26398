"""List the layers of a detector, or of two side by side, that a transfer can tap."""

import argparse

import nst_det  # noqa: F401  registers what the configs name
from nst_det.apis.build import build_detector
from nst_det.apis.layer_table import pair_table, summary, table
from nst_det.apis.list_layers import list_layers
from nst_det.cli import add_shape, check_shape, run
from nst_det.models.distillers.taps.dummy_batch import padded_shape


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument('other', nargs='?', help='a second one, such as the teacher, to compare')
    add_shape(parser)
    parser.add_argument(
        '--all', action='store_true', help='every module, not only stages, blocks and necks'
    )
    args = parser.parse_args()
    check_shape(parser, args.shape)
    return args


def main() -> None:
    args = parse_args()
    configs = [args.config] if args.other is None else [args.config, args.other]
    detectors = [build_detector(config) for config in configs]
    canvas = padded_shape(args.shape, *detectors)
    passes = [list_layers(detector, canvas) for detector in detectors]
    for config, forward in zip(configs, passes):
        print(f'{config}\n{summary(forward)}')
    every = args.all or not all(forward.useful for forward in passes)
    if every and not args.all:
        print('No backbone or neck by these names: these are all the layers.')
    print((table if args.other is None else pair_table)(*passes, every=every))
    if args.other is not None:
        print("= maps of one size   ~ the second's map would be interpolated to the first's size")


if __name__ == '__main__':
    run(main)

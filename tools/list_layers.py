"""List the layers of a detector, or of two side by side, that a transfer can tap."""

import argparse

import nst_det_tool


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_shape, check_shape
    from nst_det.config.find import find_config

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument('second', nargs='?', help='a config to compare with, such as the teacher')
    add_shape(parser)
    parser.add_argument(
        '--all', action='store_true', help='list every module, not only stages, blocks and necks'
    )
    args = parser.parse_args()
    check_shape(args.shape)
    for config in (args.config, args.second):
        if config is not None:
            find_config(config)
    return args


def main(args: argparse.Namespace) -> None:
    from nst_det.apis.build import build_detector
    from nst_det.apis.layer_table import pair_table, summary, table
    from nst_det.apis.list_layers import list_layers
    from nst_det.models.distillers.taps.dummy_batch import padded_shape

    configs = [args.config] if args.second is None else [args.config, args.second]
    detectors = [build_detector(config) for config in configs]
    batch_input_shape = padded_shape(args.shape, *detectors)
    passes = [list_layers(detector, batch_input_shape) for detector in detectors]
    for config, forward in zip(configs, passes):
        print(f'{config}\n{summary(forward)}')
    all_layers = args.all or not all(forward.useful for forward in passes)
    if all_layers and not args.all:
        print('No module is called backbone or neck: all layers follow.')
    print((table if args.second is None else pair_table)(*passes, all_layers=all_layers))
    if args.second is not None:
        print(
            '= feature maps of the same size   ~ the second feature map would be interpolated to '
            'the size of the first'
        )


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

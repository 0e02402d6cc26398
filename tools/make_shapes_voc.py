"""Draw a small VOC devkit of shapes, to try a detector on within minutes."""

import argparse

import nst_det_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', metavar='OUT', help='folder in which to make VOCdevkit/VOC2007')
    parser.add_argument(
        '--train', type=int, default=200, help='images in trainval.txt (default: 200)'
    )
    parser.add_argument('--test', type=int, default=100, help='images in test.txt (default: 100)')
    parser.add_argument(
        '--size',
        type=int,
        default=160,
        help='width and height of the images, in pixels (default: 160)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the random numbers (default: 0)'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from nst_det.datasets import make_shapes_devkit

    devkit = make_shapes_devkit(args.out, args.train, args.test, args.size, args.seed)
    print(f"the devkit is {devkit}: set data_root='{devkit}/'")


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

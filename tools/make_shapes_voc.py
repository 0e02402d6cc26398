"""Draw a small VOC devkit of shapes, to try a detector on within minutes."""

import argparse

from nst_det.cli import run
from nst_det.datasets import make_shapes_devkit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', metavar='OUT', help='folder in which VOCdevkit/VOC2007 is made')
    parser.add_argument('--train', type=int, default=200, help='images in trainval.txt')
    parser.add_argument('--test', type=int, default=100, help='images in test.txt')
    parser.add_argument('--size', type=int, default=160, help='width and height in pixels')
    parser.add_argument('--seed', type=int, default=0, help='seed of all that is random')
    args = parser.parse_args()
    devkit = make_shapes_devkit(args.out, args.train, args.test, args.size, args.seed)
    print(f"the devkit is {devkit}: set data_root='{devkit}/'")


if __name__ == '__main__':
    run(main)

"""Write a config that adds NST to a detector's config: a teacher, the layers, the weight."""

import argparse
from pathlib import Path

import nst_det  # noqa: F401  registers what the configs name
from nst_det.apis.add_nst import Addition, add_nst, parse_pair
from nst_det.cli import run

KERNELS = {
    'poly': dict(type='PolynomialKernel', degree=2, offset=0.0),
    'linear': dict(type='LinearKernel'),
    'gaussian': dict(type='GaussianKernel', sigma_squared=None),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('student', help="the detector's config file, or package::name")
    parser.add_argument(
        '--teacher', required=True, help="the teacher's config file, or package::name"
    )
    parser.add_argument(
        '--teacher-checkpoint', required=True, help="path or URL of the teacher's weights"
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        default=[],
        metavar='LAYER[=TEACHER_LAYER]',
        help='what learns from what (tools/list_layers.py lists them); proposed if left out',
    )
    parser.add_argument(
        '--kernel', default='poly', help=f'{", ".join(KERNELS)} or the class of one (poly)'
    )
    parser.add_argument(
        '--weight', type=float, default=50.0, help='lambda, the sum over the layers (50)'
    )
    parser.add_argument(
        '-o', '--out', help="the config to write (the name of the student's, ending in _nst.py)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    addition = Addition(
        student=args.student,
        teacher=args.teacher,
        checkpoint=args.teacher_checkpoint,
        kernel=KERNELS.get(args.kernel, dict(type=args.kernel)),
        loss_weight=args.weight,
    )
    out = args.out or f'{Path(args.student.split("::")[-1]).stem}_nst.py'
    for line in add_nst(addition, out, [parse_pair(layer) for layer in args.layers]):
        print(line)
    print(f'Wrote {out}')


if __name__ == '__main__':
    run(main)

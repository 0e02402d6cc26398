"""Write a config that adds NST to a detector's config: a teacher, the layers, the weight."""

import argparse
from pathlib import Path

import nst_det_tool

KERNELS = {
    'poly': dict(type='PolynomialKernel', degree=2, offset=0.0),
    'linear': dict(type='LinearKernel'),
    'gaussian': dict(type='GaussianKernel', sigma_squared=None),
}


def parse_args() -> argparse.Namespace:
    from nst_det.config.find import find_config
    from nst_det.fileio.find import check_checkpoint

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('student', help="the student's config file, or package::name")
    parser.add_argument(
        '--teacher', required=True, help="the teacher's config file, or package::name"
    )
    parser.add_argument(
        '--teacher-checkpoint', required=True, help="path or URL of the teacher's checkpoint"
    )
    parser.add_argument(
        '--teacher-prefix',
        metavar='PREFIX',
        help="what the names of the teacher's weights begin with in that checkpoint, if it holds "
        'several detectors, as in teacher. (default: found)',
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        default=[],
        metavar='LAYER[=TEACHER_LAYER]',
        help='layers of the student, each with the layer of the teacher that it learns from if '
        'that has another name; tools/list_layers.py lists layers (default: proposed by this tool)',
    )
    parser.add_argument(
        '--kernel',
        default='poly',
        help=f'{", ".join(KERNELS)} or the name of a class (default: poly)',
    )
    parser.add_argument(
        '--weight', type=float, default=50.0, help='lambda, the sum over the layers (default: 50)'
    )
    parser.add_argument('-o', '--out', help='config file to write (default: STUDENT_nst.py)')
    args = parser.parse_args()
    find_config(args.student)
    find_config(args.teacher)
    if args.teacher_checkpoint != 'random':
        check_checkpoint(args.teacher_checkpoint)
    return args


def main(args: argparse.Namespace) -> None:
    from nst_det.apis.add_nst import Addition, add_nst, parse_pair

    addition = Addition(
        student=args.student,
        teacher=args.teacher,
        checkpoint=args.teacher_checkpoint,
        kernel=KERNELS.get(args.kernel, dict(type=args.kernel)),
        loss_weight=args.weight,
        prefix=args.teacher_prefix,
    )
    out = args.out or f'{Path(args.student.split("::")[-1]).stem}_nst.py'
    for line in add_nst(addition, out, [parse_pair(layer) for layer in args.layers]):
        print(line)
    print(f'Wrote {out}')


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

"""Draw what a student has learned from its teacher: the patterns of both at the tapped layers.

For every image and transfer it writes three figures, each as PNG and SVG: the patterns as t-SNE
clouds before and after (the paper's figure 5), the most selective channels over the image, and the
Gram matrices.
"""

import argparse
from collections import Counter
from pathlib import Path

from mmengine.device import get_device
from mmengine.logging import MMLogger

import nst_det  # noqa: F401  registers what the configs name
from nst_det.apis.compare_students import compare_students
from nst_det.cli import add_changes, run
from nst_det.config.load import load_config
from nst_det.config.settings import change
from nst_det.errors import UserError
from nst_det.visualization import write_figures


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help="the distiller's config file, or package::name")
    parser.add_argument('checkpoint', help="the trained student's checkpoint")
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files')
    parser.add_argument(
        '--before',
        metavar='CHECKPOINT',
        help='the student to compare with, such as one trained without NST; left out, it is the '
        'student as training begins',
    )
    parser.add_argument(
        '-o', '--out-dir', default='nst_figures', help='where the figures go (nst_figures)'
    )
    add_changes(parser)
    args = parser.parse_args()
    names = Counter(Path(image).stem for image in args.images)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise UserError(
            f'{times} images are called {name}, and so would their figures be: draw each of them '
            'into a folder of its own by -o'
        )
    return args


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')  # not how every weight is initialised
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)
    for views in compare_students(cfg, args.checkpoint, args.before, args.images, get_device()):
        for view in views:
            distances = ', '.join(f'{view.mmd2(title):.3g} {title}' for title in view.students)
            print(f'{view.name}, {view.layer}: MMD² {distances}', flush=True)
        for file in write_figures(views, Path(args.out_dir)):
            print(f'  {file}', flush=True)


if __name__ == '__main__':
    run(main)

"""Draw what a student has learned from its teacher: the patterns of both at the tapped layers.

For every image and transfer the tool writes three figures, each as PNG and SVG: the patterns as
t-SNE clouds before and after (the paper's figure 5), the most selective channels over the image,
and the Gram matrices.
"""

import argparse
from collections import Counter
from pathlib import Path

import nst_det_tool


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes, add_prefix, check_different
    from nst_det.config.find import find_config
    from nst_det.errors import UserError
    from nst_det.fileio.find import check_checkpoint, find_image

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help="the distiller's config file, or package::name")
    parser.add_argument('checkpoint', help="the trained student's checkpoint")
    add_prefix(parser)
    parser.add_argument('images', nargs='*', metavar='IMAGE', help='image files')
    parser.add_argument(
        '--test-images',
        nargs='+',
        type=int,
        default=[],
        metavar='NUMBER',
        help='images of the test set by their numbers, from 0, also where a data set such as CIFAR '
        'has no image files',
    )
    parser.add_argument(
        '--before',
        metavar='CHECKPOINT',
        help='checkpoint of the student to compare with, such as one trained without NST '
        '(default: the student as training starts)',
    )
    parser.add_argument(
        '-o',
        '--out-dir',
        default='nst_figures',
        help='folder for the figures (default: nst_figures)',
    )
    add_changes(parser)
    args = parser.parse_args()
    if not (args.images or args.test_images):
        raise UserError('there is no image to look at: name image files, or --test-images 0')
    check_different('--test-images', args.test_images)
    names = Counter(Path(image).stem for image in args.images)
    for name, times in names.most_common(1):
        if times > 1:
            raise UserError(
                f'{times} images are called {name}, and their figures would have the same name: '
                'draw each of them into another folder with -o'
            )
    find_config(args.config)
    for checkpoint in (args.checkpoint, args.before):
        if checkpoint is not None:
            check_checkpoint(checkpoint)
    for image in args.images:
        find_image(image)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.device import get_device
    from mmengine.logging import MMLogger

    from nst_det.apis.compare_students import compare_students
    from nst_det.config.load import load_config
    from nst_det.config.settings import change
    from nst_det.visualization import write_figures

    MMLogger.get_current_instance().setLevel('WARNING')  # without how each weight is initialised
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)
    for views in compare_students(
        cfg, args.checkpoint, args.before, args.images, get_device(), args.prefix, args.test_images
    ):
        for view in views:
            distances = ', '.join(f'{view.mmd2(title):.3g} {title}' for title in view.students)
            print(f'{view.name}, {view.layer}: MMD² {distances}', flush=True)
        for file in write_figures(views, Path(args.out_dir)):
            print(f'  {file}', flush=True)


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

"""Fill the cache of a teacher's feature maps before a training: the teacher then never runs in it.

The config must name the cache (model.teacher.cache), and its training pictures must come again: use
FixedViews for random flips, scales and crops. What is cached already is not computed again, so an
interrupted call resumes. Under torchrun or srun each process takes its part of the pictures.
"""

import argparse
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from nst_det.apis.precompute_teacher import Plan


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes
    from nst_det.config.find import find_config

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument(
        '--amp', action='store_true', help='the training will be in mixed precision (--amp)'
    )
    add_changes(parser)
    args = parser.parse_args()
    find_config(args.config)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger
    from tqdm import tqdm

    from nst_det.apis.precompute_teacher import part_of_this_process, precompute_teacher
    from nst_det.config.load import load_config
    from nst_det.config.settings import change

    MMLogger.get_current_instance().setLevel('WARNING')  # without how each weight is initialised
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)
    part, parts = part_of_this_process()
    if parts > 1:
        print(f'part {part + 1} of {parts}')
    done = computed = 0
    with tqdm(unit=' pictures', disable=part > 0) as bar:
        for now, total, share in precompute_teacher(cfg, announce, args.amp, part, parts):
            bar.total = total
            bar.update(now - done)
            computed += round((1 - share) * (now - done))
            done = now
    print(f'{done} pictures are cached: {computed} were computed, the others were there')


def announce(plan: 'Plan') -> None:
    print(
        f'{plan.pictures} pictures, of which about {plan.present} are there. The others need about '
        f'{plan.gib:.2f} GiB ({plan.bytes_per_picture / 2**10:.0f} KiB each) and '
        f'{plan.seconds / 60:.1f} minutes',
        flush=True,
    )


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

"""Propose the weight λ of each transfer of an NSTDistiller config, by measuring a few iterations.

Prints, per transfer, MMD² and the gradient ratio: the norm of the NST gradient over that of the
detection losses' gradient at the student's tapped map. It is proportional to λ, so the λ for a
target ratio follows. Nothing is trained and nothing is written.
"""

import argparse
import math

from mmengine.logging import MMLogger

import nst_det  # noqa: F401  registers what the configs name
from nst_det.apis.suggest_weight import Measurement, measure, table
from nst_det.cli import add_changes, run
from nst_det.config.load import load_config
from nst_det.config.settings import change
from nst_det.errors import UserError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument(
        '--target',
        type=float,
        default=0.5,
        help='wanted gradient ratio of each transfer. The default, 0.5, leaves detection in '
        'charge: below 1, a step along both gradients lowers the detection losses even where the '
        'two point in opposite directions; half of that is a margin for the batches to come',
    )
    parser.add_argument('--iterations', type=int, default=10, help='batches to measure')
    add_changes(parser)  # load_from=CHECKPOINT measures a student that has been trained
    args = parser.parse_args()
    if not 0 < args.target < math.inf:
        raise UserError(f'--target is {args.target}, expected a ratio greater than 0, such as 0.5')
    if args.iterations < 1:
        raise UserError(f'--iterations is {args.iterations}, expected at least 1')
    return args


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')  # not how every weight is initialised
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)

    def report(done: int, measurements: list[Measurement]) -> None:
        latest = ', '.join(
            f'{one.layer} MMD² {one.distances[-1]:.3g}, ratio at λ=1 {one.ratios[-1]:.3g}'
            for one in measurements
        )
        print(f'iteration {done}/{args.iterations}: {latest}', flush=True)

    measurements = measure(cfg, args.iterations, report)
    student = (
        f'the one in {cfg.load_from}' if cfg.get('load_from') else 'as training begins with it'
    )
    print(f'\nStudent: {student}. Median [smallest, largest] of {args.iterations} iterations:')
    print(table(measurements, args.target))
    options = [
        f'model.transfers.{i}.loss.loss_weight={one.suggested_weight(args.target):g}'
        for i, one in enumerate(measurements)
    ]
    print('Give each to its transfer as loss=dict(…, loss_weight=…), or train with')
    print('--cfg-options', *options)


if __name__ == '__main__':
    run(main)

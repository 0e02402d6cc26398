"""Propose the weight λ of each transfer of an NSTDistiller config, by measuring a few iterations.

For each transfer the tool prints MMD² and the gradient ratio: at the student's tapped feature map,
the norm of the NST gradient over the norm of the gradient of the detection losses. The ratio is
proportional to λ, so the λ for a wanted ratio follows. Nothing is trained and nothing is written.
"""

import argparse
import math
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from nst_det.apis.suggest_weight import Measurement


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes
    from nst_det.config.find import find_config
    from nst_det.errors import UserError

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or package::name')
    parser.add_argument(
        '--target',
        type=float,
        default=0.5,
        help='gradient ratio wanted for each transfer (default: 0.5). With a ratio below 1, a step '
        'along both gradients lowers the detection losses even if the two gradients point in '
        'opposite directions. 0.5 leaves a margin for other batches',
    )
    parser.add_argument(
        '--iterations', type=int, default=10, help='batches to measure (default: 10)'
    )
    add_changes(parser)  # load_from=CHECKPOINT measures a trained student
    args = parser.parse_args()
    if not 0 < args.target < math.inf:
        raise UserError(f'--target is {args.target}, expected a ratio greater than 0, such as 0.5')
    if args.iterations < 1:
        raise UserError(f'--iterations is {args.iterations}, expected at least 1')
    find_config(args.config)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger

    from nst_det.apis.suggest_weight import measure, table
    from nst_det.config.load import load_config
    from nst_det.config.settings import change
    from nst_det.errors import UserError

    MMLogger.get_current_instance().setLevel('WARNING')  # without how each weight is initialised
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)

    def report(done: int, measurements: 'list[Measurement]') -> None:
        latest = ', '.join(
            f'{transfer.layer} MMD² {transfer.distances[-1]:.3g}, '
            f'ratio at λ=1 {transfer.ratios[-1]:.3g}'
            for transfer in measurements
        )
        print(f'iteration {done}/{args.iterations}: {latest}', flush=True)

    measurements = measure(cfg, args.iterations, report)
    student = cfg.get('load_from') or 'as training starts'
    print(f'\nStudent: {student}. Median [smallest, largest] of {args.iterations} iterations:')
    print(table(measurements, args.target))
    faults = [transfer.fault() for transfer in measurements]
    for i, fault in enumerate(faults):
        if fault:
            print(f'transfers[{i}]: {fault}')
    options = [
        f'model.transfers.{i}.loss.loss_weight={transfer.suggested_weight(args.target):g}'
        for i, (transfer, fault) in enumerate(zip(measurements, faults))
        if not fault
    ]
    if not options:
        raise UserError('there is no weight to propose for any transfer')
    print('Write each into its transfer as loss=dict(…, loss_weight=…), or train with')
    print('--cfg-options', *options)


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

"""Train a detector, with or without NST."""

import argparse

import nst_det_tool


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_config_options, check_config_options
    from nst_det.fileio.find import check_checkpoint

    parser = argparse.ArgumentParser(description=__doc__)
    add_config_options(parser)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint, or from the latest in the work dir if none is named',
    )
    args = parser.parse_args()
    check_config_options(args)
    if args.resume not in (None, 'auto'):
        check_checkpoint(args.resume)
    return args


def main(args: argparse.Namespace) -> None:
    import torch

    from nst_det.cli import config_from
    from nst_det.engine.runner.start import start_training
    from nst_det.errors import UserError

    cfg = config_from(args)
    if args.amp:
        if not torch.cuda.is_available():
            raise UserError('--amp needs a GPU, and torch finds none: leave it out')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=…) in {args.config}'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    start_training(cfg)


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

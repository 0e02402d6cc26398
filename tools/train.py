"""Train a detector, with or without NST."""

import argparse
import os

import torch
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import nst_det  # noqa: F401  registers what the configs name
from nst_det.checkpoints import check_fit, read_state_dict
from nst_det.command_line import add_config_options, config_from, run
from nst_det.errors import UserError


def parse_args() -> argparse.Namespace:
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
        help='resume from this checkpoint, or from the latest in the work dir if none is named',
    )
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
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
    weights = read_state_dict(cfg.load_from) if cfg.get('load_from') else None
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if cfg.get('resume') and weights is not None:
        check_fit(getattr(runner.model, 'module', runner.model), weights, cfg.load_from, 'detector')
    runner.train()


if __name__ == '__main__':
    run(main)

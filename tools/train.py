"""Train a detector, with or without NST."""

import argparse
import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import nst_det  # noqa: F401  registers what the configs name
from nst_det.cli import add_config_options, config_from, run
from nst_det.engine.runner import unwrap_model
from nst_det.engine.runner.check_strategy import check_parallel
from nst_det.engine.runner.resume import (
    check_resumable,
    last_note,
    latest_training,
    resume_with_clear_errors,
)
from nst_det.errors import UserError
from nst_det.fileio.state_dict import check_fit, read_state_dict


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
    check_parallel(cfg)
    check_start(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if cfg.get('load_from'):
        check_weights(runner, cfg.load_from)
    resume_with_clear_errors(runner)
    runner.train()


def check_start(cfg: Config) -> None:
    """See what training starts from, before anything is built or written.

    Raises:
        UserError: Where it would write over another training, or resume what cannot be resumed.
    """
    latest = last_note(cfg.work_dir)
    if cfg.get('resume'):
        cfg.load_from = cfg.get('load_from') or latest_training(cfg.work_dir)
        if cfg.load_from:
            # It seeds what is drawn before the Runner reads it as well, such as the data's order.
            seed = check_resumable(cfg.load_from)['meta'].get('seed')
            cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    elif latest:
        raise UserError(
            f'{cfg.work_dir} holds a training already ({Path(latest).name}): go on with it by '
            '--resume, or choose another --work-dir'
        )


def check_weights(runner: Runner, path: str) -> None:
    """Check that the detector to be trained can take weights from a checkpoint.

    Raises:
        UserError: Where a training to be resumed is of another architecture, or hardly any weight
            of a checkpoint to start from fits.
    """
    model = unwrap_model(runner)
    weights = read_state_dict(path)
    if runner.cfg.get('resume'):
        check_fit(model, weights, path, 'detector')
    own = {k: v.shape for k, v in model.state_dict().items() if not k.endswith('batches_tracked')}
    fit = sum(key in weights and weights[key].shape == own[key] for key in own)
    if 10 * fit < len(own):
        raise UserError(
            f'load_from {path} fits {fit} of the {len(own)} weights of the detector: it is of '
            'another architecture'
        )


if __name__ == '__main__':
    run(main)

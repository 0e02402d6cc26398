"""Test a checkpoint: VOC mAP for the VOC configs, whatever the config's metric is for others."""

import argparse
import os
from copy import deepcopy

import nst_det  # noqa: F401  before mmdet: it supplies mmcv's ops, and registers what configs name

# isort: split
from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from nst_det.cli import add_config_options, config_from, run
from nst_det.errors import UserError
from nst_det.fileio.state_dict import check_fit, read_state_dict


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_options(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='write the predictions to this .pkl file')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', help='write pictures of the predictions to this folder')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='how long each is shown, in seconds'
    )
    parser.add_argument('--tta', action='store_true', help='test with flipped images as well')
    args = parser.parse_args()
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        raise UserError(f'--out is {args.out}, expected the name of a .pkl file')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def flip_too(cfg: Config) -> None:
    """Make a config test every image flipped as well, unless it brings a way of its own."""
    if 'tta_model' not in cfg:
        cfg.tta_model = dict(
            type='DetTTAModel',
            tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
        )
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    if 'tta_pipeline' not in cfg:
        *load, pack = deepcopy(dataset.pipeline)
        pack.meta_keys = (
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'flip',
            'flip_direction',
        )
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        cfg.tta_pipeline = [*load, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def main() -> None:
    args = parse_args()
    cfg = config_from(args)
    cfg.load_from = args.checkpoint
    weights = read_state_dict(args.checkpoint)
    if args.show or args.show_dir:
        cfg = trigger_visualization_hook(cfg, args)
    if args.tta:
        flip_too(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    model = getattr(runner.model, 'module', runner.model)  # out of DDP, or of --tta's averaging
    check_fit(model, weights, args.checkpoint, 'detector')
    if args.out is not None:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    runner.test()


if __name__ == '__main__':
    run(main)

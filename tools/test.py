"""Test a checkpoint with the metric of the config, which is VOC mAP in the VOC configs."""

import argparse
from copy import deepcopy
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.evaluator import BaseMetric


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_config_options, add_prefix, check_config_options
    from nst_det.fileio.find import check_checkpoint

    parser = argparse.ArgumentParser(description=__doc__)
    add_config_options(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    add_prefix(parser)
    parser.add_argument(
        '--out', metavar='FILE', help='write the predictions to this .pkl or .json file'
    )
    parser.add_argument(
        '--format',
        choices=('pkl', 'coco'),
        help="of --out: pkl, which tools/report.py reads, or coco, which is JSON in COCO's format "
        'of results (default: by the ending of the file)',
    )
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument(
        '--show-dir', metavar='DIR', help='write pictures of the predictions to this folder'
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        metavar='SECONDS',
        help='with --show: how long to show each picture (default: 2)',
    )
    parser.add_argument('--tta', action='store_true', help='test with flipped images as well')
    args = parser.parse_args()
    check_out(args)
    check_config_options(args)
    check_checkpoint(args.checkpoint)
    return args


def check_out(args: argparse.Namespace) -> None:
    """Check --out, and find its format."""
    from nst_det.errors import UserError

    endings = {'pkl': ('.pkl', '.pickle'), 'coco': ('.json',)}
    if args.out is None:
        if args.format:
            raise UserError(f'--format {args.format} needs --out FILE')
        return
    formats = [name for name, ends in endings.items() if args.out.endswith(ends)]
    args.format = args.format or next(iter(formats), 'pkl')
    if args.format not in formats:
        expected = endings[args.format][0]
        raise UserError(
            f'--out is {args.out}, expected the name of a {expected} file for {args.format}'
        )


def main(args: argparse.Namespace) -> None:
    from mmdet.engine.hooks.utils import trigger_visualization_hook

    from nst_det.cli import config_from
    from nst_det.engine.runner.start import start_testing

    cfg = config_from(args)
    cfg.load_from, cfg.load_from_prefix = args.checkpoint, args.prefix
    if args.show or args.show_dir:
        cfg = trigger_visualization_hook(cfg, args)
    if args.tta:
        add_flips(cfg)
    start_testing(cfg, [predictions_file(cfg, args.out, args.format)] if args.out else [])


def predictions_file(cfg: 'Config', file: str, kind: str) -> 'BaseMetric':
    """Make the metric that writes the predictions."""
    from mmdet.evaluation import DumpDetResults
    from mmengine.registry import init_default_scope

    from nst_det.datasets.without_pipeline import build_without_pipeline
    from nst_det.evaluation.functional.coco_truth import coco_truth
    from nst_det.evaluation.metrics.coco_file import CocoResultsFile

    if kind == 'pkl':
        return DumpDetResults(out_file_path=file)
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    dataset = build_without_pipeline(cfg.test_dataloader.dataset)
    return CocoResultsFile(file, coco_truth(dataset))


def add_flips(cfg: 'Config') -> None:
    """Make a config test every image flipped as well, unless it has its own ``tta_model``."""
    from mmengine.config import ConfigDict

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


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

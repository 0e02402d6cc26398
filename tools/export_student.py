"""Export a trained student for use: a plain mmdet checkpoint with the plain config beside it.

Both load without the distiller and its teacher: in mmdet.apis.DetInferencer, in mmdet's own tools.
It prints what student and teacher cost to run.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from torch import nn

import nst_det  # noqa: F401  registers what the configs name
from nst_det.apis.build import build_detector
from nst_det.apis.export_onnx import check_onnx, read_image, write_onnx
from nst_det.apis.export_student import StudentFiles, load_student, write_student
from nst_det.apis.measure_cost import cost_table, measure_costs
from nst_det.cli import add_changes, add_shape, check_shape, run
from nst_det.config.load import load_config
from nst_det.config.plain import plain_config
from nst_det.config.settings import change
from nst_det.fileio.state_dict import load_strictly
from nst_det.models.layers.fold_batch_norm import fuse_batch_norms


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help="the distiller's config file, or package::name")
    parser.add_argument('checkpoint', help="the trained student's checkpoint")
    parser.add_argument(
        '-o',
        '--out',
        default='student.pth',
        help='the checkpoint to write, beside which the config goes (student.pth)',
    )
    parser.add_argument(
        '--fuse',
        action='store_true',
        help='move the scales of batch norms into the convolutions; the config stays the same',
    )
    parser.add_argument(
        '--onnx', metavar='FILE', help='write the whole prediction, NMS included, as ONNX too'
    )
    parser.add_argument(
        '--image', help='an image on which the student detects something, for --onnx (noise)'
    )
    add_shape(parser, ' for --onnx and for the costs')
    parser.add_argument(
        '--repeats', type=int, default=10, help='predictions to time; 0 leaves out the costs (10)'
    )
    add_changes(parser)
    args = parser.parse_args()
    check_shape(parser, args.shape)
    if args.repeats < 0:
        parser.error(f'--repeats is {args.repeats}, expected 0 or more')
    return args


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('WARNING')  # not which weights were found where
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)
    files = StudentFiles(Path(args.out))
    if args.onnx:
        check_onnx(Path(args.onnx))
    plain = plain_config(cfg)
    student = load_student(plain, args.checkpoint)
    if args.fuse:
        print('{} of {} batch norms fused'.format(*fuse_batch_norms(student)))
    write_student(student, plain, args.checkpoint, files)
    print(f'Wrote {files.checkpoint} and {files.config}', flush=True)
    if args.onnx:
        image = read_image(student, args.shape, args.image)
        difference = write_onnx(student, image, Path(args.onnx))
        print(
            f'Wrote {args.onnx}, input {" × ".join(map(str, (1, *image.shape)))}; in ONNX Runtime '
            f'boxes and scores differ by at most {difference:.1g}',
            flush=True,
        )
    if args.repeats:
        print_costs(cfg, student, args)


def print_costs(cfg: Config, student: nn.Module, args: argparse.Namespace) -> None:
    """Measure the student, and the teacher if there is one."""
    detectors = {'student': student}
    teacher = cfg.model.get('teacher')
    if teacher is not None:
        detectors['teacher'] = build_detector(teacher.config)
        if Path(teacher.checkpoint).is_file():
            load_strictly(detectors['teacher'], teacher.checkpoint, 'teacher')
        else:
            print(f'The teacher is measured without its weights: no file {teacher.checkpoint}')
    device = torch.device(get_device())
    costs = measure_costs(
        {name: detector.to(device) for name, detector in detectors.items()},
        args.shape,
        args.repeats,
    )
    height, width = costs['student'].canvas
    print(f'{height} × {width} pixels with padding, {device}, {torch.get_num_threads()} threads')
    print(cost_table(costs))


if __name__ == '__main__':
    run(main)

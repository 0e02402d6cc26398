"""Export a trained student: write a plain mmdet checkpoint, and the plain config beside it.

Both files load without the distiller and its teacher, in mmdet.apis.DetInferencer and in mmdet's
own tools. The tool also prints what one prediction costs with the student and with the teacher.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes, add_prefix, add_shape, check_shape
    from nst_det.config.find import find_config
    from nst_det.errors import UserError
    from nst_det.fileio.find import check_checkpoint, find_image

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help="the distiller's config file, or package::name")
    parser.add_argument('checkpoint', help="the trained student's checkpoint")
    add_prefix(parser)
    parser.add_argument(
        '-o',
        '--out',
        default='student.pth',
        help='checkpoint file to write; the config is written beside it (default: student.pth)',
    )
    parser.add_argument(
        '--fuse',
        action='store_true',
        help='move the scales of batch norms into the convolutions. The config does not change',
    )
    parser.add_argument(
        '--onnx',
        metavar='FILE',
        help='also write the complete prediction, NMS included, as an ONNX file',
    )
    parser.add_argument(
        '--image',
        help='with --onnx: an image in which the student detects something (default: noise)',
    )
    add_shape(parser, ' for --onnx and for the costs')
    parser.add_argument(
        '--repeats',
        type=int,
        default=10,
        help='number of predictions to time; with 0 no costs are measured (default: 10)',
    )
    add_changes(parser)
    args = parser.parse_args()
    check_shape(args.shape)
    if args.repeats < 0:
        raise UserError(f'--repeats is {args.repeats}, expected 0 or more')
    find_config(args.config)
    check_checkpoint(args.checkpoint)
    if args.image is not None:
        find_image(args.image)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger

    from nst_det.apis.export_onnx import check_onnx, read_image, write_onnx
    from nst_det.apis.export_student import StudentFiles, load_student, write_student
    from nst_det.config.load import load_config
    from nst_det.config.plain import plain_config
    from nst_det.config.settings import change
    from nst_det.models.layers.fold_batch_norm import fuse_batch_norms

    MMLogger.get_current_instance().setLevel('WARNING')  # without where each weight was found
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)
    files = StudentFiles(Path(args.out))
    if args.onnx:
        check_onnx(Path(args.onnx))
    plain = plain_config(cfg)
    student, meta = load_student(plain, args.checkpoint, args.prefix)
    if args.fuse:
        print('{} of {} batch norms fused'.format(*fuse_batch_norms(student)))
    write_student(student, plain, meta, files)
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


def print_costs(cfg: 'Config', student: 'nn.Module', args: argparse.Namespace) -> None:
    """Measure and print the cost of the student, and of the teacher if there is one."""
    import torch
    from mmengine.device import get_device

    from nst_det.apis.build import build_detector
    from nst_det.apis.measure_cost import cost_table, measure_costs
    from nst_det.fileio.fit import load_strictly

    detectors = {'student': student}
    teacher = cfg.model.get('teacher')
    if teacher is not None:
        detectors['teacher'] = build_detector(teacher.config)
        if Path(teacher.checkpoint).is_file():
            prefix = teacher.get('prefix')
            load_strictly(detectors['teacher'], teacher.checkpoint, 'teacher', prefix=prefix)
        else:
            print(f'The teacher is measured with random weights: there is no {teacher.checkpoint}')
    device = torch.device(get_device())
    costs = measure_costs(
        {name: detector.to(device) for name, detector in detectors.items()},
        args.shape,
        args.repeats,
    )
    height, width = costs['student'].batch_input_shape
    print(f'{height} × {width} pixels with padding, {device}, {torch.get_num_threads()} threads')
    print(cost_table(costs))


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

"""Export a trained student: write a plain mmdet checkpoint, and the plain config beside it.

Both files load without the distiller and its teacher, in mmdet.apis.DetInferencer and in mmdet's
own tools. With --onnx, --int8 and --openvino it also writes the complete prediction, verified, and
a model card beside each. The tool prints what one prediction costs with the student and with the
teacher.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmengine.config import Config
    from torch import nn

    from nst_det.export.origin import Origin


def parse_args() -> argparse.Namespace:
    from nst_det.cli import add_changes, add_prefix, add_shape, check_shape
    from nst_det.config.find import find_config
    from nst_det.errors import UserError
    from nst_det.fileio.find import check_checkpoint

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
        '--onnx', metavar='FILE', help='also write the complete prediction as an ONNX file'
    )
    parser.add_argument(
        '--openvino', metavar='FOLDER', help='also write it as an OpenVINO model, in float32'
    )
    parser.add_argument(
        '--int8',
        metavar='FILE',
        help='also write it as an ONNX file in INT8, calibrated on training images',
    )
    parser.add_argument(
        '--calibration-images',
        type=int,
        default=64,
        metavar='N',
        help='number of training images to calibrate --int8 on (default: 64)',
    )
    parser.add_argument(
        '--verify',
        nargs='*',
        metavar='DATA',
        help='verify the graphs on the test set of the config as well, and measure mAP of student '
        'and graphs; or on this VOC devkit or COCO JSON; or on these images, without mAP. Every '
        'graph is verified on a grey image and on noise, of two sizes and in a batch of 2',
    )
    parser.add_argument(
        '--license', metavar='TEXT', help='the license of the weights, for the model card'
    )
    add_shape(parser, ' for the costs')
    parser.add_argument(
        '--repeats',
        type=int,
        default=10,
        help='number of predictions to time; with 0 no costs are measured (default: 10)',
    )
    add_changes(parser)
    args = parser.parse_args()
    check_shape(args.shape)
    if args.repeats < 0 or args.repeats == 1:
        raise UserError(f'--repeats is {args.repeats}, expected 0, or 2 or more')
    if args.calibration_images < 1:
        raise UserError(f'--calibration-images is {args.calibration_images}, expected 1 or more')
    if args.verify is not None and not (args.onnx or args.openvino or args.int8):
        raise UserError('--verify compares a graph with the student: give --onnx or --openvino')
    for path in args.verify or ():
        if not Path(path).exists():
            raise UserError(f'--verify names {path}, which does not exist')
    find_config(args.config)
    check_checkpoint(args.checkpoint)
    return args


def main(args: argparse.Namespace) -> None:
    from mmengine.logging import MMLogger

    from nst_det.apis.export_onnx import check_onnx
    from nst_det.apis.export_student import StudentFiles, load_student, write_student
    from nst_det.config.load import load_config
    from nst_det.config.plain import plain_config
    from nst_det.config.settings import change
    from nst_det.export.openvino_model import check_openvino
    from nst_det.export.origin import read_origin
    from nst_det.fileio.checkpoint import reading_once
    from nst_det.models.layers.fold_batch_norm import fuse_batch_norms

    MMLogger.get_current_instance().setLevel('WARNING')  # without where each weight was found
    cfg = load_config(args.config)
    change(cfg, args.cfg_options)
    files = StudentFiles(Path(args.out))
    for option in ('onnx', 'int8'):
        if getattr(args, option):
            check_onnx(Path(getattr(args, option)), f'--{option}')
    if args.openvino:
        check_openvino(Path(args.openvino))
    plain = plain_config(cfg)
    with reading_once():
        student, meta = load_student(plain, args.checkpoint, args.prefix)
        origin = read_origin(args.checkpoint, cfg)
    if args.fuse:
        print('{} of {} batch norms fused'.format(*fuse_batch_norms(student)))
    meta = write_student(student, plain, meta, files)
    print(f'Wrote {files.checkpoint} and {files.config}', flush=True)
    if args.onnx or args.openvino or args.int8:
        classes = meta['dataset_meta'].get('classes') or ()
        export_graphs(cfg, plain, student, origin, classes, args)
    if args.repeats:
        print_costs(cfg, student, args)


def export_graphs(
    cfg: 'Config',
    plain: 'Config',
    student: 'nn.Module',
    origin: 'Origin',
    classes: 'Iterable[str]',
    args: argparse.Namespace,
) -> None:
    """Write the graphs of the student that verification finds equal, each with its card."""
    from nst_det.apis.export_onnx import Export, make_onnx
    from nst_det.export.test_set import TestSet

    model = make_onnx(student, plain, classes)
    sources = [Path(path) for path in args.verify or ()]
    is_set = len(sources) == 1 and (sources[0].is_dir() or sources[0].suffix == '.json')
    test_set, files = None, []
    if args.verify is not None and (is_set or not sources):
        test_set = TestSet(plain, *sources)
    else:
        files = sources
    export = Export(student, model, cfg, origin, test_set, files, args.repeats, args.license)
    if args.onnx:
        export.write_onnx(Path(args.onnx))
    if args.openvino:
        export.write_openvino(Path(args.openvino))
    if args.int8:
        export.write_int8(Path(args.int8), plain, args.calibration_images)


def print_costs(cfg: 'Config', student: 'nn.Module', args: argparse.Namespace) -> None:
    """Measure and print the cost of the student, and of the teacher if there is one."""
    import torch
    from mmengine.device import get_device

    from nst_det.apis.build import build_detector
    from nst_det.apis.measure_cost import cost_table, measure_costs
    from nst_det.config.detector import teacher_options
    from nst_det.fileio.fit import load_strictly

    detectors = {'student': student}
    for options in teacher_options(cfg.model):
        if not options.get('config'):
            continue  # a bare backbone detects nothing
        name = f'teacher {options.get("name", "")}'.strip()
        detectors[name] = build_detector(options['config'])
        checkpoint = options.get('checkpoint', 'random')
        if Path(checkpoint).is_file():
            load_strictly(detectors[name], checkpoint, name, prefix=options.get('prefix'))
        else:
            print(f'The {name} is measured with random weights: there is no {checkpoint}')
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

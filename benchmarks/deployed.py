"""The latency of a student in torch, ONNX Runtime and OpenVINO, in float32 and INT8."""

import argparse
import copy
import platform
import tempfile
from functools import partial
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from terminaltables import GithubFlavoredMarkdownTable
from torch import Tensor, nn

import nst_det  # noqa: F401  registers what it adds to mmdet
from nst_det.apis.export_onnx import make_onnx
from nst_det.apis.export_student import load_student
from nst_det.config.load import load_config
from nst_det.config.plain import plain_config
from nst_det.export.detector_graph import DetectorGraph
from nst_det.export.latency import measure_latency
from nst_det.export.openvino_model import write_openvino
from nst_det.export.quantize import calibration_images, quantize
from nst_det.export.test_set import TestSet
from nst_det.export.verify import predict
from nst_det.runtime.session import OnnxSession, OpenVinoSession


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config of the student, or of its distiller')
    parser.add_argument('checkpoint', help="the student's checkpoint")
    parser.add_argument('--shape', type=int, nargs=2, default=[320, 320])
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8])
    parser.add_argument('--repeats', type=int, default=30, help='of each (default: 30)')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--calibration-images', type=int, default=64)
    parser.add_argument('--no-compile', action='store_true', help='leave torch.compile out')
    parser.add_argument('--accuracy', action='store_true', help='measure mAP on the test set too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    MMLogger.get_current_instance().setLevel('WARNING')
    plain = plain_config(load_config(args.config))
    student, _ = load_student(plain, args.checkpoint)
    model = make_onnx(student, plain, [str(i) for i in range(_num_classes(student))])
    int8 = quantize(model.content, calibration_images(plain, args.calibration_images))
    with tempfile.TemporaryDirectory() as folder:
        openvino, openvino_int8 = Path(folder, 'fp32'), Path(folder, 'int8')
        write_openvino(model.content, model.info, openvino)
        write_openvino(int8, model.info, openvino_int8)
        sessions = {
            'ONNX Runtime': OnnxSession(model.content, args.threads),
            'OpenVINO': OpenVinoSession(openvino, args.threads),
            'ONNX Runtime, INT8': OnnxSession(int8, args.threads),
            'OpenVINO, INT8': OpenVinoSession(openvino_int8, args.threads),
        }
    ways = {'torch': student}
    if not args.no_compile:
        ways['torch.compile'] = compiled(student)
    print(f'{args.shape[0]} x {args.shape[1]} pixels, {args.threads} threads, median (quartiles)')
    print(f'{platform.machine()}, torch {torch.__version__}', flush=True)
    for size in args.batch_sizes:
        generator = torch.Generator().manual_seed(0)
        images = 255 * torch.rand(size, model.info.channels, *args.shape, generator=generator)
        functions = {name: partial(predict, way, images) for name, way in ways.items()}
        array = images.numpy()
        functions.update({name: partial(way.run, array) for name, way in sessions.items()})
        found = measure_latency(functions, args.repeats)
        rows = [['', f'batch of {size}, ms', 'of torch']]
        for name, latency in found.items():
            rows.append([name, latency.text(), f'{latency.median / found["torch"].median:.2f}'])
        print(GithubFlavoredMarkdownTable(rows).table, flush=True)
    if args.accuracy:
        test_set = TestSet(plain)
        print('torch', test_set.evaluate_detector(student))
        for name, session in sessions.items():
            print(name, test_set.evaluate_graph(session))


def compiled(student: nn.Module) -> nn.Module:
    """Compile the backbone and the neck, for any size; mmdet's heads cannot be compiled whole."""
    student = copy.deepcopy(student)
    features = torch.compile(student.extract_feat, dynamic=True)

    def extract_feat(images: Tensor) -> object:
        return features(images)

    student.extract_feat = extract_feat
    return student


def _num_classes(student: nn.Module) -> int:
    return DetectorGraph(student).num_classes


if __name__ == '__main__':
    main()

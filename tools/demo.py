"""Show the complete way in minutes: a data set, a teacher, a student without and with NST."""

import argparse
import os
import statistics
import time
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from mmdet.datasets import BaseDetDataset

    from nst_det.experiments import Tested, ToolCalls

ROOT = Path(__file__).resolve().parents[1]
TEACHER, STUDENT, NST = 'teacher', 'student', 'nst_student'
TITLES = {TEACHER: 'teacher', STUDENT: 'student', NST: 'student + NST'}
SHAPES = {
    TEACHER: 'faster_rcnn/faster-rcnn_efficientnet-lite0_3e_shapes.py',
    STUDENT: 'faster_rcnn/faster-rcnn_inception-bn-w0.25_5e_shapes.py',
    NST: 'nst/nst_faster-rcnn_inception-bn-w0.25_efficientnet-lite0_5e_shapes.py',
}
PHOTOGRAPHS = {
    TEACHER: 'faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py',
    STUDENT: 'faster_rcnn/faster-rcnn_inception-bn-w0.5_320-10e_voc07.py',
    NST: 'nst/nst_faster-rcnn_inception-bn-w0.5_efficientnet-lite2_320-10e_voc07.py',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0],
        help='train a pair of students per seed (default: 0)',
    )
    parser.add_argument(
        '--data',
        default='data/shapes',
        help='folder in which to make the data set (default: data/shapes)',
    )
    parser.add_argument(
        '--photographs',
        metavar='DEVKIT',
        help='train on the photographs of VOC2007 in this devkit, at 320 pixels, in place of drawn '
        'shapes: about three hours on two CPU cores',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='folder for the results; if it exists, a number is added to its name '
        '(default: work_dirs/demo)',
    )
    args = parser.parse_args()
    if args.photographs is not None:
        from nst_det.fileio.find import find_devkit_years

        years = find_devkit_years(args.photographs)
        args.photographs = years[0].parent
    return args


def main(args: argparse.Namespace) -> None:
    from nst_det.datasets import make_shapes_devkit
    from nst_det.experiments import ToolCalls, train_and_test
    from nst_det.models.backbones.timm_backbone.efficientnet_lite import installed_weights
    from nst_det.models.backbones.timm_backbone.networks import import_timm
    from nst_det.visualization import draw_comparison

    configs = PHOTOGRAPHS if args.photographs else SHAPES
    import_timm()
    installed_weights('efficientnet-lite2' if args.photographs else 'efficientnet-lite0')
    devkit = args.photographs or make_shapes_devkit(
        args.data, num_train=400, num_test=200, image_size=128
    )
    work_dir = free_folder(Path(args.work_dir))
    data = [f'{split}_dataloader.dataset.data_root={devkit}/' for split in ('train', 'val', 'test')]
    scores: dict[str, list[float]] = {TEACHER: [], STUDENT: [], NST: []}
    tested: dict[str, Tested] = {}
    call = ToolCalls(ROOT / 'tools')

    def measure(name: str, folder: str, *options: str) -> None:
        started = time.time()
        config = ROOT / 'configs' / configs[name]
        tested[name] = train_and_test(call, config, work_dir / folder, [*data, *options])
        scores[name].append(tested[name].results.score)
        seconds = time.time() - started
        print(f'{TITLES[name]}: {tested[name].results.text} after {seconds:.0f} s', flush=True)

    measure(TEACHER, TEACHER)
    for seed in args.seeds:
        suffix = f'_seed{seed}' if len(args.seeds) > 1 else ''
        chosen = f'randomness.seed={seed}'
        measure(STUDENT, STUDENT + suffix, chosen)
        teacher = f'model.teacher.checkpoint={tested[TEACHER].checkpoint}'
        measure(NST, NST + suffix, chosen, teacher)
    print_table(scores, tested)
    picture = work_dir / 'detections.png'
    shown = {TITLES[name]: tested[name].predictions for name in (STUDENT, NST, TEACHER)}
    images = load_test_set(ROOT / 'configs' / configs[STUDENT], devkit)
    draw_comparison(images, shown, picture, scale=1 if args.photographs else 2)
    print(f'detections on the first test images: {picture}')
    report = work_dir / 'report.html'
    trained = [str(folder) for folder in sorted(work_dir.iterdir()) if folder.is_dir()]
    call('report', *trained, '-o', str(report), '--title', 'The demo: a student taught by NST')
    config = ROOT / 'configs' / configs[NST]
    export(call, config, tested[NST].checkpoint, work_dir, [*data, teacher])
    print(f'\nthe complete report, to open in a browser: {report}')


def export(
    call: 'ToolCalls', config: Path, checkpoint: Path, work_dir: Path, changes: list[str]
) -> None:
    """Export the last student that was taught by NST, and verify it on the test images."""
    from nst_det.apis.export_onnx import NEEDED

    if not all(map(find_spec, NEEDED)):
        print(f'the student is not exported: that needs {" and ".join(NEEDED)}')
        return
    files = ['-o', str(work_dir / 'student.pth'), '--onnx', str(work_dir / 'student.onnx')]
    options = ['--verify', '--repeats', '0', '--cfg-options', *changes]
    call('export_student', str(config), str(checkpoint), *files, *options)
    print(f'the student as a graph, with its card: {work_dir / "student.onnx"}')


def free_folder(wanted: Path) -> Path:
    """Find a folder that does not exist yet: the wanted one, or folder_2, folder_3 and so on."""
    names = (wanted.with_name(f'{wanted.name}_{i}') if i > 1 else wanted for i in count(1))
    return next(folder for folder in names if not folder.exists())


def load_test_set(config: Path, devkit: Path) -> 'BaseDetDataset':
    """Load the images that the detectors are tested on."""
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope

    from nst_det.config.load import load_config

    init_default_scope('mmdet')
    dataset = load_config(str(config)).test_dataloader.dataset
    return DATASETS.build({**dataset, 'data_root': f'{devkit}/', 'pipeline': []})


def print_table(scores: dict[str, list[float]], tested: 'dict[str, Tested]') -> None:
    """Print VOC mAP in percent and the checkpoint of each detector."""
    from nst_det.evaluation.functional.paired_test import paired_gain
    from nst_det.evaluation.results import number_text

    spread = ', mean ± std' if len(scores[NST]) > 1 else ''
    print(f'\nVOC mAP (11 points, %) on the test images{spread}')
    print(f'{"":16}{"mAP":>12}  checkpoint')
    for name in (TEACHER, STUDENT, NST):
        values = [100 * score for score in scores[name]]
        shown = f'{statistics.mean(values):.1f}'
        if len(values) > 1:
            shown += f' ± {statistics.stdev(values):.1f}'
        print(f'{TITLES[name]:16}{shown:>12}  {os.path.relpath(tested[name].checkpoint)}')
    pairs = zip(scores[STUDENT], scores[NST])
    gains = [number_text(100 * (nst - plain), signed=True) for plain, nst in pairs]
    print(f'gain by NST, seed by seed: {", ".join(gains)}')
    gain = paired_gain([100 * score for score in scores[NST]], [100 * s for s in scores[STUDENT]])
    if gain.interval is not None:
        low, high = (number_text(bound, signed=True) for bound in gain.interval)
        print(
            f'mean {number_text(gain.mean, signed=True)}, 95 % interval {low} to {high} '
            f'(paired t-test over {gain.seeds} seeds): {gain.verdict}'
        )


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)

"""The whole way in minutes: a data set, a teacher, and a student without and with NST."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from nst_det.command_line import run
from nst_det.datasets import SHAPE_CLASSES, VOCDevkitDataset, make_shapes_devkit
from nst_det.errors import UserError
from nst_det.visualization import draw_comparison

ROOT = Path(__file__).resolve().parents[1]
TEACHER, STUDENT, NST = 'teacher', 'student', 'nst_student'
PREDICTIONS = 'predictions.pkl'
TITLES = {TEACHER: 'teacher', STUDENT: 'student', NST: 'student + NST'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0], help='train a pair of students for each'
    )
    parser.add_argument('--data', default='data/shapes', help='where the data set is made')
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='where the results go; beside it where it is there',
    )
    return parser.parse_args()


def call(tool: str, *arguments: str) -> None:
    """Run one of the tools as a user would, and show the command."""
    command = ['python', f'tools/{tool}.py', *arguments]
    print(f'\n$ {" ".join(command)}', flush=True)
    done = subprocess.run([sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *arguments])
    if done.returncode:
        raise UserError(f'tools/{tool}.py failed (exit status {done.returncode}): see above')


def train_and_test(name: str, work_dir: Path, options: list[str]) -> tuple[float, Path]:
    """Train and test one detector.

    Returns:
        tuple[float, Path]: Its VOC mAP on the test images, and its checkpoint.
    """
    config = str(ROOT / 'configs' / 'demo' / f'{name}.py')
    started = time.time()
    # Tested below, so not at the end of the training as well.
    untested = f'train_cfg.val_begin={sys.maxsize}'
    call('train', config, '--work-dir', str(work_dir), '--cfg-options', *options, untested)
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    tested = work_dir / 'test'
    out = ['--work-dir', str(tested), '--out', str(work_dir / PREDICTIONS)]
    call('test', config, str(checkpoint), *out, '--cfg-options', *options)
    metrics = max(tested.glob('*/*.json'), key=os.path.getmtime)
    score = json.loads(metrics.read_text())['pascal_voc/mAP']
    print(f'{TITLES[name]}: mAP {100 * score:.1f} after {time.time() - started:.0f} s', flush=True)
    return score, checkpoint


def main() -> None:
    args = parse_args()
    devkit = make_shapes_devkit(args.data, num_train=600, num_test=200, image_size=160)
    work_dir = free_folder(Path(args.work_dir))
    data = [f'{split}_dataloader.dataset.data_root={devkit}/' for split in ('train', 'val', 'test')]
    scores: dict[str, list[float]] = {TEACHER: [], STUDENT: [], NST: []}
    checkpoints: dict[str, Path] = {}

    def measure(name: str, folder: str, *options: str) -> None:
        score, checkpoints[name] = train_and_test(name, work_dir / folder, [*data, *options])
        scores[name].append(score)

    measure(TEACHER, TEACHER)
    for seed in args.seeds:
        suffix = f'_seed{seed}' if len(args.seeds) > 1 else ''
        chosen = f'randomness.seed={seed}'
        measure(STUDENT, STUDENT + suffix, chosen)
        teacher = f'model.teacher.checkpoint={checkpoints[TEACHER]}'
        measure(NST, NST + suffix, chosen, teacher)
    print_table(scores, checkpoints)
    picture = work_dir / 'detections.png'
    shown = {
        TITLES[name]: checkpoints[name].parent / PREDICTIONS for name in (STUDENT, NST, TEACHER)
    }
    draw_comparison(shapes_test_set(devkit), shown, picture)
    print(f'detections on the first test images: {picture}')


def free_folder(wanted: Path) -> Path:
    """The folder, or the first of folder_2, folder_3 … that is not there yet."""
    names = (wanted.with_name(f'{wanted.name}_{i}') if i > 1 else wanted for i in count(1))
    return next(folder for folder in names if not folder.exists())


def shapes_test_set(devkit: Path) -> VOCDevkitDataset:
    """The images that the detectors are tested on."""
    return VOCDevkitDataset(
        data_root=str(devkit),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        test_mode=True,
    )


def print_table(scores: dict[str, list[float]], checkpoints: dict[str, Path]) -> None:
    """Print the demo's one table: VOC mAP in percent, and where the checkpoints are."""
    print('\nVOC mAP (11 points, %) on the test images' + ', mean ± std' * (len(scores[NST]) > 1))
    print(f'{"":16}{"mAP":>12}  checkpoint')
    for name in (TEACHER, STUDENT, NST):
        values = [100 * score for score in scores[name]]
        shown = f'{statistics.mean(values):.1f}'
        if len(values) > 1:
            shown += f' ± {statistics.stdev(values):.1f}'
        print(f'{TITLES[name]:16}{shown:>12}  {checkpoints[name]}')
    gains = [100 * (nst - plain) for plain, nst in zip(scores[STUDENT], scores[NST])]
    print(f'gain by NST, seed by seed: {", ".join(f"{gain:+.1f}" for gain in gains)}')


if __name__ == '__main__':
    run(main)

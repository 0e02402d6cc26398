"""A copy of the repository in which all is small, so that the pages' commands run as written."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from locations import DEMO, ROOT
from warm_python import __file__ as WARM_PYTHON
from warm_python import write_client

from nst_det.datasets import make_shapes_devkit

COPIED = [
    *('Makefile', 'README.md', 'CHANGELOG.md', 'LICENSE', 'pyproject.toml', 'requirements.txt'),
    *('benchmarks', 'configs', 'docs', 'nst_det', 'nst_det_tool.py', 'tools', 'examples'),
    'requirements',
    'tests/fixtures',
    *(
        'tests/fuzz/fuzz_readers.py',
        'tests/conftest.py',
        'tests/locations.py',
        'tests/quick_runner.py',
        'tests/warm_python.py',
        'tests/tools/test_package.py',
    ),
]

# The teacher of `make demo`, and the student that it teaches.
TEACHER = 'configs/faster_rcnn/faster-rcnn_efficientnet-lite0_3e_shapes.py'
NST = 'configs/nst/nst_faster-rcnn_inception-bn-w0.25_efficientnet-lite0_5e_shapes.py'
# What is smaller in the copy: a file, what is written there, and what takes its place.
SMALLER = [
    *(
        (f'configs/_base_/models/faster-rcnn_inception-bn{of_width}-c4.py', written, smaller)
        for of_width, width, channels_4b, channels_5b in [
            ('', 1.0, 576, 1024),
            ('-w0.5', 0.5, 288, 512),
            ('-w0.375', 0.375, 216, 392),
            ('-w0.25', 0.25, 144, 256),
        ]
        for written, smaller in [
            (f'width={width}', 'width=0.125'),
            (f'channels={channels_4b}', 'channels=72'),
            (f'channels={channels_5b}', 'channels=136'),
        ]
    ),
    ('configs/_base_/datasets/voc07.py', 'scale = (1000, 600)', 'scale = (96, 64)'),
    ('configs/_base_/datasets/voc07.py', 'times=3', 'times=1'),
    ('configs/_base_/datasets/voc07_320.py', 'scale = (320, 320)', 'scale = (64, 64)'),
    ('configs/_base_/datasets/voc07_320_augmented.py', '(320, 320)', '(64, 64)'),
    (
        'configs/faster_rcnn/faster-rcnn_inception-bn-w0.5_320-10e_voc07.py',
        'pad_size_divisor = 320',
        'pad_size_divisor = 64',
    ),
    (
        'configs/faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py',
        'max_epochs = 12',
        'max_epochs = 2',
    ),
    (
        'tools/demo.py',
        'num_train=400, num_test=200, image_size=128',
        'num_train=8, num_test=4, image_size=64',
    ),
    # The fewest steps that t-SNE takes.
    (
        'nst_det/visualization/pattern_clouds.py',
        'random_state=0)',
        'random_state=0, max_iter=250)',
    ),
    (str(DEMO['teacher'].relative_to(ROOT)), 'epochs = 14', 'epochs = 2'),
    (str(DEMO['nst_student'].relative_to(ROOT)), 'epoch_14.pth', 'epoch_2.pth'),
    (TEACHER, 'epochs = 3', 'epochs = 2'),
    (NST, 'epoch_3.pth', 'epoch_2.pth'),
    ('Makefile', '--train 400 --test 200 --size 128', '--train 8 --test 4 --size 64'),
    ('Makefile', '--seeds 0 1 2 3 4', '--seeds 0 1'),
    ('Makefile', 'table4_shapes.py', 'table4_shapes.py --rows baseline nst_poly'),
    ('Makefile', 'losses_shapes.py', 'losses_shapes.py --rows baseline mgd ld'),
    (
        'Makefile',
        '--seeds 0 1 2 --work-dir work_dirs/losses',
        '--seeds 0 1 --work-dir work_dirs/losses',
    ),
    ('benchmarks/losses.py', 'IMAGES, SIDE = 4, 320', 'IMAGES, SIDE = 3, 64'),
    (
        'benchmarks/__main__.py',
        'SHAPES = [(2, 576, 38, 63), (2, 256, 100, 152), (2, 576, 20, 20), (1, 128, 38, 63)]',
        'SHAPES = [(1, 32, 6, 8)]',
    ),
    ('Makefile', '-m benchmarks', '-m benchmarks --turns 1'),
    ('benchmarks/__main__.py', '(64, 128, 256, 512)', '(8, 16)'),
    ('benchmarks/__main__.py', '(10, 19, 38, 76, 152)', '(3, 6)'),
    ('benchmarks/__main__.py', '(1, 2, 4, 8)', '(1, 2)'),
    ('benchmarks/data_and_evaluation.py', 'image_size=500', 'image_size=64'),
    ('benchmarks/data_and_evaluation.py', 'TESTED = 1000', 'TESTED = 20'),
    # Classifiers.
    ('configs/_base_/datasets/digits.py', "split='train',", "split='train', indices=32,"),
    ('configs/_base_/datasets/digits.py', "split='test',", "split='test', indices=20,"),
    (
        'configs/_base_/models/small-inception-bn_cifar10.py',
        "InceptionBN')",
        "InceptionBN', width=0.125)",
    ),
    ('configs/_base_/models/small-inception-bn_cifar10.py', 'in_channels=336', 'in_channels=48'),
    (
        'configs/classification/pre-activation-r1001_164e_cifar10.py',
        'depth=1001, with_cp=True',
        'depth=11, with_cp=True',
    ),
    (
        'configs/_base_/models/inception-bn_imagenet.py',
        "variant='mxnet'",
        "variant='mxnet', width=0.125",
    ),
    ('configs/_base_/models/inception-bn_imagenet.py', 'in_channels=1024', 'in_channels=136'),
    *(
        (f'configs/_base_/datasets/{data}.py', written, smaller)
        for data, workers in (('cifar10', 2), ('imagenet', 8))
        for written, smaller in [
            (f'num_workers={workers}', 'num_workers=0'),
            ('persistent_workers=True', 'persistent_workers=False'),
        ]
    ),
    # Files of the format of CIFAR's have other checksums.
    (
        'nst_det/datasets/cifar.py',
        'check_integrity(str(file), checksum)',
        'file.is_file()',
    ),
    (
        'nst_det/datasets/cifar.py',
        'from torchvision.datasets import',
        'from small_cifar import',
    ),
    # VOC's archives, from this machine.
    (
        'nst_det/datasets/voc_download.py',
        'from torchvision.datasets.voc import DATASET_YEAR_DICT\n',
        'from small_voc import DATASET_YEAR_DICT\n',
    ),
]
# VOC's names for the drawn shapes.
VOC_NAMES = {'circle': 'car', 'square': 'dog', 'triangle': 'person', 'star': 'cat'}
ARCHIVES = {
    '2007': ('VOCtrainval_06-Nov-2007.tar', 'VOC2007', 'trainval'),
    '2007-test': ('VOCtest_06-Nov-2007.tar', 'VOC2007', 'test'),
    '2012': ('VOCtrainval_11-May-2012.tar', 'VOC2012', 'trainval'),
}
# torchvision's readers of CIFAR without their checksums.
CIFAR = """from torchvision import datasets


class CIFAR10(datasets.CIFAR10):
    train_list = [[name, None] for name, _ in datasets.CIFAR10.train_list]
    test_list = [[name, None] for name, _ in datasets.CIFAR10.test_list]
    meta = {**datasets.CIFAR10.meta, 'md5': None}


CIFAR100 = datasets.CIFAR100
"""
# A Slurm of one node and one process; without a GPU there is no launcher 'slurm'.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "${@/#slurm/none}"
"""


@dataclass
class Done:
    """How a command ended."""

    status: int
    output: str


class SmallCheckout:
    """The copy, a server of VOC's archives, and a Python that starts at once.

    Args:
        folder (Path): Where the copy is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns('__pycache__', '_build')
                shutil.copytree(source, target, symlinks=True, ignore=ignored)
            else:
                shutil.copy(source, target)
        for name, written, smaller in SMALLER:
            text = (folder / name).read_text()
            assert written in text, f'{name} does not hold {written!r}'
            (folder / name).write_text(text.replace(written, smaller))
        self._serve_archives()
        self._start_python()
        self.own = set(self.folder.iterdir())

    def _serve_archives(self) -> None:
        """Pack a devkit of shapes as VOC's archives, and serve them."""
        files = self.folder / '.archives'
        handler = partial(_Quiet, directory=str(files))
        self.web = ThreadingHTTPServer(('127.0.0.1', 0), handler)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{self.web.server_port}'
        archives = {}
        for name, (file, year, image_set) in ARCHIVES.items():
            small_voc(files / name, year, image_set)
            with tarfile.open(files / file, 'w') as tar:
                tar.add(files / name / 'VOCdevkit', 'VOCdevkit')
            md5 = hashlib.md5((files / file).read_bytes()).hexdigest()
            archives[name] = dict(url=f'{address}/{file}', filename=file, md5=md5)
        library = self.folder / '.venv' / 'lib'
        library.mkdir(parents=True)
        (library / 'small_voc.py').write_text(f'DATASET_YEAR_DICT = {archives}\n')
        (library / 'small_cifar.py').write_text(CIFAR)

    def _start_python(self) -> None:
        """Start the server, and put its client and the like in ``.venv/bin``."""
        programs = self.folder / '.venv' / 'bin'
        programs.mkdir(parents=True)
        address = self.folder / '.python'
        python = programs / 'python'
        write_client(python, address)
        for name in ('ruff', 'mypy', 'tensorboard', 'wandb'):
            (programs / name).symlink_to(Path(sys.executable).with_name(name))
        started = {
            'torchrun': f'#!/bin/sh\nexec {python} -m torch.distributed.run "$@"\n',
            'pytest': f'#!/bin/sh\nexec {python} -m pytest "$@"\n',
            'nst_det': f'#!/bin/sh\nexec {python} -m nst_det "$@"\n',
            'pip': f'#!/bin/sh\nexec {sys.executable} -m pip "$@"\n',
            'srun': SRUN,
        }
        for name, text in started.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        (programs.parent / '.ready').touch()
        self.environment = {
            **os.environ,
            'PATH': f'{programs}:{os.environ["PATH"]}',
            'PYTHONPATH': f'{self.folder}:{self.folder / ".venv" / "lib"}',
            'OMP_NUM_THREADS': '1',
            'MPLBACKEND': 'Agg',
        }
        self.environment.pop('PYTEST_CURRENT_TEST', None)
        server = [sys.executable, WARM_PYTHON]
        self.log = (self.folder / '.python.log').open('w')
        self.server = subprocess.Popen(
            [*server, str(address), 'nst_det,quick_runner', str(python)],
            cwd=self.folder,
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while not address.exists():
            assert self.server.poll() is None, Path(self.log.name).read_text()
            time.sleep(0.1)

    def run(self, command: str, timeout: float = 900) -> Done:
        """Run a command as a shell does.

        Args:
            command (str): The command.
            timeout (float): Seconds after which it has failed. Defaults to 900.

        Returns:
            Done: Its exit status and what it printed.
        """
        done = subprocess.run(
            ['bash', '-c', command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout)

    def tidy(self) -> None:
        """Delete what commands have made in the copy's own folder."""
        for path in set(self.folder.iterdir()) - self.own:
            path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)

    def close(self) -> None:
        """End the servers, and delete what is large."""
        os.killpg(self.server.pid, signal.SIGTERM)  # and what it forked
        self.server.wait()
        self.log.close()
        self.web.shutdown()
        self.tidy()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        """Say nothing."""


def small_voc(folder: Path, year: str, image_set: str) -> None:
    """Draw a devkit in a year's layout and with VOC's classes, of one image set alone."""
    devkit = make_shapes_devkit(folder, 8, 4, image_size=64)
    drawn = devkit / 'VOC2007'
    kept = (drawn / 'ImageSets' / 'Main' / f'{image_set}.txt').read_text().split()
    for kind in ('Annotations', 'JPEGImages'):
        for file in (drawn / kind).iterdir():
            if file.stem not in kept:
                file.unlink()
    for file in (drawn / 'Annotations').iterdir():
        text = file.read_text()
        for shape, name in VOC_NAMES.items():
            text = text.replace(f'<name>{shape}</name>', f'<name>{name}</name>')
        file.write_text(text)
    for file in (drawn / 'ImageSets' / 'Main').iterdir():
        if file.stem != image_set:
            file.unlink()
    (devkit / 'shapes.json').unlink()
    if year != 'VOC2007':
        drawn.rename(devkit / year)

"""Every command of the README and the pages runs, as it is written but for what is said here.

A scene is a list of commands of which one may need what another made; it begins in a folder without
anything that was made. ``small_checkout.py`` says what is smaller in the copy of the repository
that they run in.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from distinct_detections import make_detections_distinct
from doc_blocks import PAGES, ROOT, SHELLS, all_commands, blocks, commands
from locations import DEMO
from PIL import Image
from small_checkout import NST, TEACHER
from small_classification import write_cifar10, write_imagenet
from small_coco import make_own_coco, make_small_coco

from nst_det.apis.build import build_detector
from nst_det.datasets import make_shapes_devkit


@dataclass(frozen=True)
class Step:
    """A command of the pages.

    Args:
        command (str): What stands in the pages, on one line.
        put (dict[str, str]): What is put in the place of what stands there. Defaults to nothing.
        more (str): What is appended. Defaults to nothing.
        makes (str): A file that is there afterwards. Defaults to none.
        says (str): What it prints among other things. Defaults to nothing.
        ready (Callable, optional): Makes what a user would have by then. Defaults to None.
    """

    command: str
    put: dict[str, str] = field(default_factory=dict)
    more: str = ''
    makes: str = ''
    says: str = ''
    ready: Callable[[Path], None] | None = None

    @property
    def run(self) -> str:
        """str: What is run."""
        text = self.command
        for written, instead in self.put.items():
            assert written in text, f'{written!r} does not stand in {self.command}'
            text = text.replace(written, instead)
        if text.startswith('tools/') and text.split()[0].endswith('.py'):
            text = f'python {text}'  # within a line of prose the interpreter is left out
        return f'{text} {self.more}'


def save_teacher(config: str, name: str, folder: Path) -> None:
    """Save a detector's random weights where a command expects a trained teacher's."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=build_detector(config).state_dict()), file)


def fpn_detectors(folder: Path) -> None:
    """A user's own detectors, with necks."""
    config = "_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'\n"
    for name in ('my_detector.py', 'my_teacher.py'):
        (folder / name).write_text(config)
    save_teacher('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', 'my_teacher.pth', folder)


def small_coco(folder: Path) -> None:
    """COCO's folders, with the shapes in them, and a teacher of COCO's."""
    make_small_coco(folder / 'data' / 'coco')
    teacher = 'mmdet::faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py'
    save_teacher(teacher, 'work_dirs/teacher.pth', folder)


def your_data(folder: Path, part: str) -> None:
    """The images of a user and the configs of the page, of the part for COCO or for VOC."""
    snippets = [b.text for b in blocks(ROOT / 'docs' / 'your_data.md') if b.language == 'python']
    smaller = {'max_epochs = 6': 'max_epochs = 1', 'size = 160': 'size = 64'}
    for written, instead in smaller.items():
        assert all(written in snippets[i] for i in (1, 3))
        snippets = [snippet.replace(written, instead) for snippet in snippets]
    split, student, teacher, voc_student = snippets
    if part == 'COCO':
        make_own_coco(folder / 'data' / 'mine')
        here = split.replace("'data/mine'", repr(str(folder / 'data' / 'mine')))
        exec(compile(here, 'split', 'exec'), {})
        (folder / 'my_student.py').write_text(student)
        (folder / 'my_teacher.py').write_text(teacher)
        return
    drawn = make_shapes_devkit(folder / 'data' / 'drawn', 8, 2, 64) / 'VOC2007'
    for name in ('train', 'valid'):
        target = folder / 'data' / 'mine_voc' / name
        target.mkdir(parents=True)
        for image in (drawn / 'JPEGImages').iterdir():
            text = (drawn / 'Annotations' / f'{image.stem}.xml').read_text()
            for shape, own in (('circle', 'gear'), ('square', 'nut')):
                text = text.replace(f'<name>{shape}</name>', f'<name>{own}</name>')
            (target / f'part {image.stem}.xml').write_text(text)
            Image.open(image).save(target / f'part {image.stem}.png')
    (folder / 'my_voc_student.py').write_text(voc_student)
    text = teacher.replace('./my_student.py', './my_voc_student.py')
    (folder / 'my_voc_teacher.py').write_text(text)


def classification_data(folder: Path) -> None:
    """Files of the formats of CIFAR-10 and, with lists of their classes, of ImageNet."""
    write_cifar10(folder / 'data' / 'cifar10')
    root = folder / 'data' / 'imagenet'
    write_imagenet(root)
    (root / 'meta').mkdir()
    for split in ('train', 'val'):
        files = sorted(path.relative_to(root / split) for path in (root / split).rglob('*.JPEG'))
        (root / 'meta' / f'{split}.txt').write_text(''.join(f'{file} 7\n' for file in files))


def demo_student(folder: Path) -> None:
    """The demo's data and teacher, and a student and an image whose detections are distinct."""
    make_shapes_devkit(folder / 'data' / 'shapes', 8, 4, image_size=64)
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / 'image.jpg')
    trained = folder / 'work_dirs' / 'demo'
    save_teacher(str(folder / TEACHER), 'teacher/epoch_2.pth', trained)
    student = build_detector(str(folder / STUDENT))
    torch.manual_seed(3)
    student.init_weights()
    make_detections_distinct(student)
    (trained / 'nst_student').mkdir()
    torch.save(dict(state_dict=student.state_dict()), trained / 'nst_student' / 'epoch_5.pth')


def a_stack(folder: Path, stack: str, environment: str) -> None:
    """The kept copy of a stack, with an environment that needs no downloads."""
    copy = folder / 'work_dirs' / 'kept' / stack
    copy.mkdir(parents=True)
    (copy / environment).symlink_to(folder / '.venv')


PYTHON = '.venv/bin/python tools'
STUDENT = str(DEMO['student'].relative_to(ROOT))
TRAINED = f'{NST} work_dirs/demo/nst_student/epoch_5.pth'
MAIN = 'configs/faster_rcnn_nst_voc.py'
VIEWS = (
    'train_dataloader.dataset.type=FixedViews train_dataloader.dataset.views=2 '
    'model.teacher.cache=work_dirs/teacher_maps'
)
TABLE = 'configs/tables/table4_shapes.py'
KEPT = 'KEEP=work_dirs/kept PROCESSES=0'
ONE_TEST_OF_STACK = 'tests/tools/test_package.py -k version'
ONE_TEST = 'PYTEST_ADDOPTS="-k version --numprocesses 0" make'
COCO = (
    '--cfg-options train_cfg.max_epochs=1 model.student.backbone.init_cfg=None '
    'train_dataloader.dataset.pipeline.2.scale="(64,64)" '
    'val_dataloader.dataset.pipeline.1.scale="(64,64)" train_dataloader.num_workers=0 '
    'train_dataloader.persistent_workers=False val_dataloader.num_workers=0 '
    'val_dataloader.persistent_workers=False'
)

SCENES = {
    'the demo': [
        Step('make demo', makes='work_dirs/demo/report.html', says='gain by NST'),
        Step(
            'python tools/report.py work_dirs/demo/teacher work_dirs/demo/student '
            'work_dirs/demo/nst_student -o report.html',
            makes='report.html',
        ),
        Step(
            'python tools/test.py CONFIG CHECKPOINT --work-dir WORK_DIR/test '
            '--out WORK_DIR/predictions.pkl',
            put={'CONFIG CHECKPOINT': TRAINED, 'WORK_DIR': 'work_dirs/again'},
            makes='work_dirs/again/predictions.pkl',
            says='pascal_voc/mAP',
        ),
        Step(
            'python tools/test.py CONFIG CHECKPOINT --out detections.json --format coco',
            put={'CONFIG CHECKPOINT': TRAINED},
            makes='detections_truth.json',
        ),
        Step(
            'python tools/visualize_nst.py CONFIG CHECKPOINT IMAGE... --before OTHER_CHECKPOINT '
            '-o figures',
            put={
                'CONFIG CHECKPOINT': TRAINED,
                'IMAGE...': 'data/shapes/VOCdevkit/VOC2007/JPEGImages/000009.jpg',
                'OTHER_CHECKPOINT': 'work_dirs/demo/student/epoch_5.pth',
            },
            makes='figures/000009_backbone.inception_4b_clouds.png',
        ),
        Step(
            'python tools/suggest_weight.py CONFIG',
            put={'CONFIG': NST},
            says='λ for 0.5',
        ),
        Step('tools/suggest_weight.py CONFIG', put={'CONFIG': NST}, more='--iterations 1'),
        Step('tools/list_layers.py CONFIG', put={'CONFIG': STUDENT}, says='4b'),
        Step(f'tools/list_layers.py {STUDENT}', says='4b'),
        Step(
            f'{PYTHON}/train.py {NST} --cfg-options load_from=student.pth',
            put={'load_from=student.pth': 'load_from=work_dirs/demo/student/epoch_5.pth'},
            more='train_cfg.max_epochs=1',
            says='Load checkpoint from work_dirs/demo/student/epoch_5.pth',
        ),
        Step(
            'nst_det train CONFIG',
            put={'CONFIG': STUDENT},
            more='--cfg-options train_cfg.max_epochs=1',
            makes=f'work_dirs/{Path(STUDENT).stem}/epoch_1.pth',
        ),
        Step(
            'nst_det mmdet test CONFIG CHECKPOINT',
            put={'CONFIG CHECKPOINT': TRAINED},
            says='pascal_voc/mAP',
        ),
        Step('nst_det mmdet', says='browse_dataset'),
        Step('nst_det mmdet get_flops CONFIG', put={'CONFIG': NST}, says='Flops'),
        Step('tensorboard --logdir work_dirs', put={'tensorboard': 'tensorboard --inspect'}),
        Step('wandb sync', more='--help'),  # it sends things to somewhere else
    ],
    'deploying': [
        Step(
            'python tools/export_student.py CONFIG CHECKPOINT -o student.pth',
            put={'CONFIG CHECKPOINT': TRAINED},
            ready=demo_student,
            makes='student.py',
        ),
        Step('tools/test.py student.py student.pth', says='pascal_voc/mAP'),
        Step(
            'python tools/export_student.py CONFIG CHECKPOINT -o student.pth --onnx student.onnx '
            '--verify',
            # Noise: random weights have too many equal scores in drawn shapes.
            put={
                'CONFIG CHECKPOINT': TRAINED,
                'student.pth': 'again.pth',
                '--verify': '--verify image.jpg',
            },
            more='--shape 64 80',
            makes='student.onnx',
        ),
        Step(
            'python tools/export_student.py CONFIG CHECKPOINT -o student.pth '
            '--openvino student_openvino --int8 student_int8.onnx --verify',
            put={
                'CONFIG CHECKPOINT': TRAINED,
                'student.pth': 'third.pth',
                '--verify': '--verify image.jpg',
            },
            more='--repeats 0 --calibration-images 2',
            makes='student_openvino/model.xml',
        ),
        Step(
            'nst_det predict MODEL IMAGES -o pictures --json found.json --csv found.csv',
            put={'MODEL IMAGES': 'student.onnx image.jpg'},
            makes='found.json',
        ),
        Step(
            'python -m benchmarks.deployed CONFIG CHECKPOINT --shape 320 320',
            put={'CONFIG CHECKPOINT': TRAINED, '320 320': '64 64'},
            more='--repeats 2 --no-compile --batch-sizes 1',
            says='OpenVINO',
        ),
    ],
    'the demo by hand': [
        Step(
            f'{PYTHON}/make_shapes_voc.py data/shapes --train 400 --test 200 --size 128',
            put={'400': '8', '200': '4', '128': '64'},
            makes='data/shapes/VOCdevkit/VOC2007/ImageSets/Main/trainval.txt',
        ),
        Step(
            f'{PYTHON}/train.py {TEACHER} --work-dir work_dirs/demo/teacher',
            makes='work_dirs/demo/teacher/epoch_2.pth',
        ),
        Step(
            f'{PYTHON}/train.py {STUDENT} --work-dir work_dirs/demo/student',
            makes='work_dirs/demo/student/epoch_5.pth',
        ),
        Step(
            f'{PYTHON}/train.py {NST} --work-dir work_dirs/demo/nst_student',
            makes='work_dirs/demo/nst_student/epoch_5.pth',
            says='mmd2_backbone_inception_4b',
        ),
        Step(f'{PYTHON}/test.py {TRAINED}', says='pascal_voc/mAP'),
        Step(
            f'{PYTHON}/train.py {NST} --work-dir work_dirs/demo/nst_student --resume',
            says='resumed epoch: 5',
        ),
    ],
    'five seeds': [
        Step(
            f'{PYTHON}/demo.py --seeds 0 1 2 3 4',
            put={'0 1 2 3 4': '0 1'},
            says='gain by NST, seed by seed: ',
        ),
    ],
    'exports of labelling tools': [
        Step(
            'python tools/prepare_voc.py --check DATA',
            put={'DATA': 'data/shapes'},
            says="metainfo = dict(classes=('circle', ",
            ready=lambda folder: make_shapes_devkit(folder / 'data' / 'shapes', 4, 2, 64),
        ),
    ],
    'your COCO data': [
        Step(
            ".venv/bin/python -c \"import json; print([c['name'] for c in json.load(open("
            "'data/mine/annotations/train.json'))['categories']])\"",
            says="['disk', 'box', 'tri'",
            ready=partial(your_data, part='COCO'),
        ),
        Step(f'{PYTHON}/train.py my_teacher.py', makes='work_dirs/my_teacher/epoch_1.pth'),
        Step(
            f'{PYTHON}/test.py my_teacher.py work_dirs/my_teacher/epoch_6.pth --work-dir '
            'work_dirs/my_teacher/test --out work_dirs/my_teacher/predictions.pkl',
            put={'epoch_6': 'epoch_1'},
            says='coco/bbox_mAP',
        ),
        Step(
            f'{PYTHON}/distil.py my_student.py --teacher my_teacher.py --teacher-checkpoint '
            'work_dirs/my_teacher/epoch_6.pth --baseline --dry-run',
            put={'epoch_6': 'epoch_1'},
            says='my_student_nst: to do, into work_dirs/my_student_distil',
        ),
        Step(
            f'{PYTHON}/distil.py my_student.py --teacher my_teacher.py --teacher-checkpoint '
            'work_dirs/my_teacher/epoch_6.pth --baseline',
            put={'epoch_6': 'epoch_1'},
            makes='work_dirs/my_student_distil/report.html',
            says='Gain over my_student',
        ),
    ],
    'your VOC data': [
        Step(
            f'{PYTHON}/prepare_voc.py --check data/mine_voc',
            says="metainfo = dict(classes=('gear', ",
            ready=partial(your_data, part='VOC'),
        ),
        Step(f'{PYTHON}/train.py my_voc_teacher.py', makes='work_dirs/my_voc_teacher/epoch_1.pth'),
        Step(
            f'{PYTHON}/test.py my_voc_teacher.py work_dirs/my_voc_teacher/epoch_6.pth --work-dir '
            'work_dirs/my_voc_teacher/test --out work_dirs/my_voc_teacher/predictions.pkl',
            put={'epoch_6': 'epoch_1'},
            says='pascal_voc/AP/gear',
        ),
        Step(
            f'{PYTHON}/distil.py my_voc_student.py --teacher my_voc_teacher.py '
            '--teacher-checkpoint work_dirs/my_voc_teacher/epoch_6.pth --baseline',
            put={'epoch_6': 'epoch_1'},
            makes='work_dirs/my_voc_student_distil/report.html',
        ),
    ],
    'VOC': [
        Step(
            f'{PYTHON}/prepare_voc.py data --years 2007 2012',
            makes='data/VOCdevkit/VOC2012/ImageSets/Main/trainval.txt',
        ),
        Step(
            f'{PYTHON}/train.py configs/faster_rcnn/faster-rcnn_inception-bn_4e_voc0712.py',
            makes='work_dirs/faster-rcnn_inception-bn_4e_voc0712/epoch_4.pth',
        ),
        Step(
            'python tools/precompute_teacher.py CONFIG',
            put={'CONFIG': MAIN},
            more=f'--cfg-options {VIEWS}',
            says='pictures are cached',
        ),
        Step(
            f'python tools/train.py CONFIG --cfg-options {VIEWS}',
            put={'CONFIG': MAIN},
            more='train_cfg.max_epochs=1 --work-dir work_dirs/views',
            makes='work_dirs/views/epoch_1.pth',
        ),
        Step(f'{PYTHON}/train.py {MAIN}', makes='work_dirs/faster_rcnn_nst_voc/epoch_4.pth'),
        Step(
            f'{PYTHON}/test.py {MAIN} work_dirs/faster_rcnn_nst_voc/epoch_4.pth',
            says='pascal_voc/AP/car',
        ),
        Step(
            '.venv/bin/python -m benchmarks.data_and_evaluation --devkit data/VOCdevkit',
            says='VOCDevkitMetric',
        ),
        Step(
            f'tools/dist_train.sh {MAIN} 8',
            put={' 8': ' 2 --work-dir work_dirs/on_two'},
            makes='work_dirs/on_two/epoch_4.pth',
        ),
        Step(
            'torchrun --standalone --nproc_per_node 8 tools/test.py CONFIG CHECKPOINT '
            '--launcher pytorch',
            put={'8': '2', 'CONFIG CHECKPOINT': f'{MAIN} work_dirs/on_two/epoch_4.pth'},
            says='pascal_voc/mAP',
        ),
        Step(
            f'tools/dist_train.sh {MAIN} 8 --auto-scale-lr '
            '--cfg-options train_dataloader.num_workers=4',
            put={' 8': ' 2 --work-dir work_dirs/scaled', '=4': '=1'},
            says='Scaling the original LR by 2.0',
        ),
        Step(
            'NNODES=8 MASTER_ADDR=first-machine PORT=29500 MAX_RESTARTS=3 '
            f'tools/dist_train.sh {MAIN} 8 --resume',
            put={
                'NNODES=8': 'NNODES=1',
                'first-machine': '127.0.0.1',
                '29500': '29517',
                f'{MAIN} 8': f'{MAIN} 2 --work-dir work_dirs/nodes',
            },
            makes='work_dirs/nodes/epoch_4.pth',
        ),
        Step(
            f'GPUS=64 tools/slurm_train.sh PARTITION JOB_NAME {MAIN}',
            more='--work-dir work_dirs/slurm',
            makes='work_dirs/slurm/epoch_4.pth',
        ),
        Step(
            f'GPUS=64 tools/slurm_train.sh PARTITION nst {MAIN} --auto-scale-lr --cfg-options '
            'train_dataloader.batch_size=1 sync_bn=torch param_scheduler.0.end=200',
            put={'--auto-scale-lr': '--auto-scale-lr --work-dir work_dirs/slurm_64'},
            makes='work_dirs/slurm_64/epoch_4.pth',
        ),
        Step(
            f'{PYTHON}/run_table.py '
            'configs/tables/table4_voc07.py --rows baseline kd fitnet at nst_poly kd_nst --teacher '
            'configs/faster_rcnn/faster-rcnn_inception-bn_4e_voc0712.py --seeds 0 1 2 '
            '--gpus 0 1 2 3 --paper --work-dir work_dirs/table4_voc07',
            put={'kd fitnet at nst_poly kd_nst': 'nst_poly', '0 1 2 3': '0', '0 1 2': '0 1'},
            makes='work_dirs/table4_voc07/table.md',
        ),
        Step(
            'python tools/run_table.py configs/tables/table4_voc07.py --seeds 0 1 2 --executor ray '
            '--executor-options address=auto num_cpus=4',
            put={'0 1 2': '0', 'address=auto num_cpus=4': 'num_cpus=1'},
            more='--rows baseline --work-dir work_dirs/table_ray',
            makes='work_dirs/table_ray/table.md',
        ),
        Step(
            'python tools/run_table.py configs/tables/table4_voc07.py --seeds 0 1 2 --executor '
            'slurm --executor-options slurm_partition=gpu cpus_per_task=4 timeout_min=600',
            put={'0 1 2': '0', 'slurm_partition=gpu': 'cluster=local gpus_per_node=0'},
            more='--rows baseline --work-dir work_dirs/table_slurm',
            makes='work_dirs/table_slurm/table.md',
        ),
        Step(
            f'{PYTHON}/run_table.py configs/tables/table4_voc07-320.py --teacher '
            'configs/faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py --seeds 0 1 2 '
            '--work-dir work_dirs/table4_voc07-320 --cfg-options '
            'train_dataloader.dataset.data_root=ROOT/ val_dataloader.dataset.data_root=ROOT/ '
            'test_dataloader.dataset.data_root=ROOT/',
            put={
                'table4_voc07-320.py': 'table4_voc07-320.py --rows baseline nst_poly',
                '0 1 2': '0 1',
                'ROOT': 'data/VOCdevkit',
            },
            makes='work_dirs/table4_voc07-320/table.md',
        ),
        Step(
            f'{PYTHON}/train.py '
            'configs/faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py',
            makes='work_dirs/faster-rcnn_efficientnet-lite2_320-12e_voc07/epoch_2.pth',
        ),
        Step(
            f'{PYTHON}/run_table.py configs/tables/table4_voc07-320.py configs/nst/nst_'
            'faster-rcnn_inception-bn-w0.5_efficientnet-lite2-backbone_320-10e_voc07.py '
            '--seeds 0 1 2 --work-dir work_dirs/photographs',
            put={'0 1 2': '0'},
            more='--rows baseline nst_poly '
            'nst_faster-rcnn_inception-bn-w0.5_efficientnet-lite2-backbone_320-10e_voc07',
            makes='work_dirs/photographs/table.md',
        ),
        Step(
            'ROW=nst_poly .venv/bin/python tools/train.py configs/tables/table4_voc07-320.py '
            '--work-dir work_dirs/choose --cfg-options model.transfers.0.loss.loss_weight=auto:5 '
            'randomness.seed=100 train_cfg.max_epochs=4 train_cfg.val_interval=4 '
            'param_scheduler.1.T_max=4 '
            'train_dataloader.dataset.ann_file=VOC2007/ImageSets/Main/choose_train.txt '
            'val_dataloader.dataset.ann_file=VOC2007/ImageSets/Main/choose_val.txt',
            put={'choose_train': 'trainval', 'choose_val': 'test', '=4': '=1'},
            makes='work_dirs/choose/epoch_1.pth',
        ),
        Step(
            f'{PYTHON}/run_table.py configs/faster_rcnn/'
            'faster-rcnn_efficientnet-lite0_320-4e_voc07.py configs/nst/'
            'nst_faster-rcnn_efficientnet-lite0_efficientnet-lite2_320-4e_voc07.py configs/nst/'
            'nst-kd_faster-rcnn_efficientnet-lite0_efficientnet-lite2_320-4e_voc07.py '
            '--seeds 0 1 2 --work-dir work_dirs/photographs_lite0',
            put={'0 1 2': '0'},
            makes='work_dirs/photographs_lite0/table.md',
        ),
        Step(
            'tools/demo.py --photographs DEVKIT',
            put={'DEVKIT': 'data/VOCdevkit'},
            makes='work_dirs/demo/report.html',
        ),
    ],
    'a table': [
        Step(
            f'{PYTHON}/run_table.py configs/tables/kd_weight_shapes.py --teacher '
            'configs/faster_rcnn/faster-rcnn_efficientnet-lite0_3e_shapes.py --seeds 0 1 2 '
            '--work-dir work_dirs/kd_weight',
            put={'kd_weight_shapes.py': 'kd_weight_shapes.py --rows baseline kd_1', '0 1 2': '0'},
            makes='work_dirs/kd_weight/table.md',
        ),
        Step('make table-demo', makes='work_dirs/table_demo/table.md'),
        Step('make losses-demo', makes='work_dirs/losses_demo/table.png'),
        Step(
            f'{PYTHON}/run_table.py TABLE [--rows ROW…] --seeds 0 1 2 --work-dir D '
            '[--teacher CONFIG]',
            put={
                'TABLE [--rows ROW…]': f'{TABLE} --rows baseline nst_linear',
                '0 1 2': '0 1',
                'D [--teacher CONFIG]': 'work_dirs/linear',
            },
            makes='work_dirs/linear/table.png',
        ),
        Step(
            f'ROW=kd {PYTHON}/train.py {TABLE} --work-dir work_dirs/kd',
            makes='work_dirs/kd/epoch_4.pth',
        ),
        Step(
            f'ROW=nst_poly tools/suggest_weight.py {TABLE} --target 20',
            put={'tools/': f'{PYTHON}/'},
            says='λ for 20',
        ),
    ],
    'classifiers': [
        Step(
            f'{PYTHON}/run_table.py configs/tables/table_digits.py --rows baseline kd fitnet at '
            'nst_linear nst_poly nst_gaussian kd_nst --teacher '
            'configs/classification/pre-activation-r29_15e_digits.py --seeds 0 1 2 3 4 '
            '--work-dir work_dirs/digits',
            put={
                'kd fitnet at nst_linear nst_poly nst_gaussian kd_nst': 'nst_poly',
                ' 1 2 3 4': '',
            },
            more='--cfg-options train_cfg.max_epochs=1',
            makes='work_dirs/digits/table.md',
        ),
        Step(
            f'ROW=nst_poly {PYTHON}/visualize_nst.py configs/tables/table_digits.py '
            'work_dirs/digits/nst_poly/seed0/epoch_5.pth --before '
            'work_dirs/digits/baseline/seed0/epoch_5.pth --test-images 0 1 '
            '-o work_dirs/digits/figures',
            put={'epoch_5': 'epoch_1', '0 1': '0'},
            more='--cfg-options '
            'model.teacher.checkpoint=work_dirs/digits/teacher/seed0/epoch_1.pth',
            makes='work_dirs/digits/figures/image0_backbone.inception_5b_clouds.png',
        ),
    ],
    'CIFAR and ImageNet': [
        Step(
            f'{PYTHON}/run_table.py configs/tables/table_cifar10.py --teacher '
            'configs/classification/pre-activation-r1001_164e_cifar10.py --seeds 0 1 2 '
            '--gpus 0 1 2 3 --paper --work-dir work_dirs/cifar10',
            put={
                'table_cifar10.py': 'table_cifar10.py --rows baseline kd_nst',
                '0 1 2 3': '0',
                '0 1 2': '0',
            },
            more='--cfg-options train_cfg.max_epochs=1',
            ready=classification_data,
            says='| the paper | 4.21 |',
            makes='work_dirs/cifar10/table.md',
        ),
        Step(
            'ROW=nst_poly tools/dist_train.sh configs/tables/table_imagenet.py 8',
            put={'nst_poly': 'baseline', ' 8': ' 1'},
            more='--cfg-options train_cfg.max_epochs=1 train_cfg.val_interval=1 '
            'train_dataloader.dataset.pipeline.1.scale=64',
            makes='work_dirs/table_imagenet/epoch_1.pth',
        ),
    ],
    'your own detector': [
        Step(
            f'{PYTHON}/add_nst.py my_detector.py --teacher my_teacher.py '
            '--teacher-checkpoint my_teacher.pth',
            ready=fpn_detectors,
            makes='my_detector_nst.py',
        ),
        Step(
            '.venv/bin/nst_det distil my_detector.py --teacher my_teacher.py '
            '--teacher-checkpoint my_teacher.pth',
            more='--dry-run',  # the detectors are for COCO's data
            says='to do: write work_dirs/my_detector_distil/report.html',
        ),
    ],
    "mmdet's own detector": [
        Step(
            'python tools/add_nst.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py '
            '--teacher mmdet::faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py '
            '--teacher-checkpoint work_dirs/teacher.pth',
            ready=small_coco,
            more='--batches 0',  # otherwise it downloads the weights of ResNet-50
            makes='retinanet_r50_fpn_1x_coco_nst.py',
        ),
        Step(
            'python tools/train.py retinanet_r50_fpn_1x_coco_nst.py',
            more=COCO,
            makes='work_dirs/retinanet_r50_fpn_1x_coco_nst/epoch_1.pth',
        ),
        Step(
            'python tools/list_layers.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
            says='neck[1]',
        ),
    ],
    "Inception-BN's weights": [
        Step(
            'python tools/convert_inception_bn.py IN OUT',
            put={'IN OUT': 'tests/fixtures/mxnet_inception_bn.params converted.pth'},
            makes='converted.pth',
        ),
    ],
    'installing': [
        Step(
            'pip install .',
            more='--no-deps --no-build-isolation --target installed',
            makes='installed/nst_det/__init__.py',
        ),
        Step('python -c "import nst_det; nst_det.show_versions()"', says='mmdet'),
        *(
            Step(
                f"pip install 'nst_det[{extra}]'",
                put={f'nst_det[{extra}]': f'.[{extra}]'},
                more='--no-build-isolation --dry-run',
                says='Would install',
            )
            for extra in ('onnx', 'onnx,openvino', 'runtime', 'ray', 'slurm', 'classification')
        ),
        Step(
            "pip install 'nst_det[lite]'",
            put={'nst_det[lite]': '.[lite]'},
            more='--no-build-isolation --dry-run',
            says='Would install',
        ),
        Step('pip install tensorboard', more='--dry-run', says='already satisfied'),
        Step('pip install wandb', more='--dry-run', says='already satisfied'),
        Step('pip install faster-coco-eval', more='--dry-run', says='already satisfied'),
        Step(
            "pip install '.[mmdet,report]'",
            more='--no-build-isolation --dry-run',
            says='Would install',
        ),
        Step("pip install '.[mmdet]'", more='--no-build-isolation --dry-run', says='Would install'),
        Step(
            'make PYTHON=python3.11 demo',
            put={'python3.11': sys.executable, 'demo': 'setup'},
        ),
        # They put another OpenCV in the place of this environment's.
        Step('make HEADLESS=1 demo', put={'make': 'make --dry-run'}),
        Step('pip install opencv-python-headless', more='--dry-run'),
    ],
    'contributing': [  # of the tests the copy has one file
        Step('make test', put={'make': ONE_TEST}, says='1 passed'),
        Step('make test-all', put={'make': 'make --dry-run'}, says="-m ''"),
        Step('make test-quick', put={'make': 'make --dry-run'}, says='pytest'),
        Step(
            '.venv/bin/python -m pytest tests/tools/test_package.py -k version -s', says='1 passed'
        ),
        # Long runs of tests that `make test-all` runs as well: here it is seen that there are any.
        Step(
            'pytest -m slow tests/tools/test_kill_and_resume.py',
            put={'tests/': f'{ROOT}/tests/'},
            more='--collect-only -q',
            says='::',
        ),
        Step(
            'pytest -s -m slow tests/training/test_leaks.py',
            put={'tests/': f'{ROOT}/tests/'},
            more='--collect-only -q',
            says='::',
        ),
        Step(  # it takes minutes: here it is seen that the list fits the package and the tests
            '.venv/bin/python tests/mutations.py',
            put={'tests/': f'{ROOT}/tests/'},
            more='--only 1 --list',
            says='kernels.py',
        ),
        # What CI runs before the tests: here it is seen that there is such a target.
        Step('make lint', put={'make': 'make --dry-run'}, says='mypy'),
        Step('.venv/bin/ruff format .', says='left unchanged'),
    ],
    'stacks': [
        Step(
            'make test STACK=onedl',
            put={'make': 'make --dry-run'},
            says='pip install --only-binary :all: -r requirements/onedl.txt',
        ),
        Step(
            'tools/try_stack.sh onedl',
            put={'tools/': f'{KEPT} tools/'},
            more=ONE_TEST_OF_STACK,
            ready=partial(a_stack, stack='onedl', environment='.venv-onedl'),
            makes='work_dirs/stacks/onedl.log',
            says='| 1 passed',
        ),
        Step(
            'PYTHON=python3.14 tools/try_stack.sh default',
            put={'PYTHON=python3.14': KEPT},
            more=ONE_TEST_OF_STACK,
            ready=partial(a_stack, stack='default', environment='.venv'),
            says='| 1 passed',
        ),
        Step(
            'tools/try_stack.sh torch-2.1 tests/unit tests/training',
            put={'tools/try': f'{KEPT} tools/try', 'tests/unit tests/training': ONE_TEST_OF_STACK},
            ready=partial(a_stack, stack='torch-2.1', environment='.venv-torch-2.1'),
            says='| 1 passed',
        ),
    ],
    'benchmarks': [
        Step('make bench', makes='work_dirs/bench/bench.json'),
        Step('OMP_NUM_THREADS=1 make bench', says='how time grows'.capitalize()),
        Step('.venv/bin/python -m benchmarks.teacher_pass', says='from its cache'),
        Step(
            '.venv/bin/python -m benchmarks.cached_views --cpu-time', more='--turns 1', says='KiB'
        ),
        Step(
            '.venv/bin/python -m benchmarks.cached_views --cpu-time --epochs 12',
            put={'12': '1'},
            says='plain',
        ),
        Step(
            'bash benchmarks/on_gpu.sh',
            put={'bash': 'PYTHON=.venv/bin/python bash'},
            more='--device cpu --small --only losses_are_right fsdp_is_refused',
            makes='work_dirs/on_gpu/on_gpu.md',
        ),
        Step(
            '.venv/bin/python -m benchmarks.student_step CONFIG',
            put={'CONFIG': STUDENT},
            more='--images 1 --side 64 --steps 1',
            says='convolutions',
        ),
        Step(
            'OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.losses',
            more='--turns 1',
            says='CrossKD',
        ),
        Step(  # mmrazor itself is not installed
            '.venv/bin/python -m benchmarks.against_mmrazor MMRAZOR',
            put={'MMRAZOR': '--help'},
            says="a checkout of mmrazor's repository",
        ),
    ],
    'fuzzing': [
        Step('make fuzz INPUTS=1000000', put={'1000000': '20'}),
    ],
    'the pages': [
        Step('make docs', makes='docs/_build/html/index.html'),
    ],
}
SLOW = {
    'the demo by hand',
    'five seeds',
    'VOC',
    'a table',
    "mmdet's own detector",
    'benchmarks',
    'your VOC data',
    'CIFAR and ImageNet',
}

# How blocks begin that are no commands of ours: what is printed, formulas, trees.
PRINTED = (
    'apt-get update &&',  # it needs root
    'VOC mAP (11 points, %) on the test images',
    "MMD² = 1/C_T² Σ k(t_i, t_i')",
    'Student: as training starts.',
    'trtexec --onnx=',
    'student_recorders=',
)


def test_every_command_of_the_pages_is_run_and_no_other():
    run = [step.command for scene in SCENES.values() for step in scene]
    written = all_commands()
    missing = {command: places for command, places in written.items() if command not in run}
    assert not missing, 'give each a Step in a scene here'
    assert not set(run) - set(written), 'these stand in no page any more'
    assert len(set(run)) == len(run)


def test_every_other_block_is_known_to_be_no_command():
    unknown = [
        f'{block}: {block.text.splitlines()[0]}'
        for page in PAGES
        for block in blocks(page)
        if block.language in ('', 'text', *SHELLS)
        and not commands(block)
        and not block.text.startswith(PRINTED)
    ]
    assert not unknown, 'commands that doc_blocks.py does not take for one, or for PRINTED'


@pytest.mark.parametrize(
    'scene', [pytest.param(s, marks=pytest.mark.slow) if s in SLOW else s for s in SCENES]
)
def test_the_commands_run_as_they_are_written(scene, checkout):
    checkout.tidy()
    for step in SCENES[scene]:
        if step.ready:
            step.ready(checkout.folder)
        done = checkout.run(step.run)
        ended = f'$ {step.run}\n{done.output[-3000:]}'
        assert done.status == 0, ended
        assert step.says in done.output, ended
        assert (checkout.folder / step.makes).exists(), ended

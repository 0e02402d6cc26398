"""The shipped configs: what their names promise, their detectors, and the rows of the tables."""

import functools
import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from locations import CONFIGS, DEMO
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from nst_det.config.load import load_config
from nst_det.errors import UserError
from nst_det.experiments import read_rows
from nst_det.models import InceptionBN
from nst_det.models.distillers.teacher.bare_backbone import teacher_model

TABLES = ['table4_shapes', 'table4_voc07', 'table4_voc07-320']
LOSSES = ['losses_shapes', 'losses_voc07-320']  # see test_losses_tables.py
KD_WEIGHT = 'kd_weight_shapes'
# See test_classification_tables.py.
CLASSIFICATION = ['table_cifar10', 'table_cifar100', 'table_imagenet', 'table_digits']
ALL_TABLES = [*TABLES, *LOSSES, KD_WEIGHT, *CLASSIFICATION]
METHODS = {
    'baseline': [],
    'kd': ['KDLoss'],
    'fitnet': ['FitNetLoss'],
    'at': ['ATLoss'],
    'nst_linear': ['NSTLoss'],
    'nst_poly': ['NSTLoss'],
    'nst_gaussian': ['NSTLoss'],
    'kd_nst': ['KDLoss', 'NSTLoss'],
    'kd_fitnet': ['KDLoss', 'FitNetLoss'],
    'kd_at': ['KDLoss', 'ATLoss'],
}
PLAIN = sorted([*CONFIGS.glob('faster_rcnn/*.py'), *CONFIGS.glob('gfl/*.py')])
TAUGHT = [CONFIGS / 'faster_rcnn_nst_voc.py', *sorted(CONFIGS.glob('nst/*.py'))]
NAMES = [path.relative_to(CONFIGS).as_posix() for path in (*PLAIN, *TAUGHT)]
ROWS = [f'tables/{table}.py {row}' for table in TABLES for row in METHODS]


@functools.cache
def _rows(table: str) -> dict[str, Config]:
    return read_rows([str(CONFIGS / table)])


@functools.cache
def _config(name: str) -> Config:
    return load_config(str(CONFIGS / name))


def config(name: str) -> Config:
    """A config by its path in the folder of configs; of a table, with the row behind it."""
    path, *row = name.split()
    return deepcopy(_rows(path)[row[0]] if row else _config(path))


def taught(name: str) -> bool:
    return name in NAMES[len(PLAIN) :] or (name in ROWS and not name.endswith(' baseline'))


# The folder.


def test_the_tables_and_the_configs_beside_them_are_all_that_is_shipped():
    files = {path.relative_to(CONFIGS) for path in CONFIGS.rglob('*.py')}
    tables = {Path(f'tables/{table}.py') for table in ALL_TABLES}
    named = {Path(name) for name in NAMES} | tables
    elsewhere = ('_base_', 'from_mmrazor', 'classification')
    assert {file for file in files if file.parts[0] not in elsewhere} == named


def test_the_readme_lists_every_config():
    text = (CONFIGS / 'README.md').read_text()
    listed = set(
        re.findall(
            r'`((?:faster_rcnn|gfl|nst|tables|from_mmrazor|classification)/\S+\.py'
            r'|faster_rcnn_nst_voc\.py)`',
            text,
        )
    )
    elsewhere = {
        f'{folder}/{file.name}'
        for folder in ('from_mmrazor', 'classification')
        for file in CONFIGS.glob(f'{folder}/*.py')
    }
    tables = {f'tables/{table}.py' for table in ALL_TABLES}
    assert listed == {*NAMES, *elsewhere, *tables}


def test_the_rows_of_kds_weight_have_the_ratio_of_their_name():
    for row, cfg in _rows(f'tables/{KD_WEIGHT}.py').items():
        named = re.findall(r'kd_(\d+)|(nst)', row)
        transfers = cfg.model.get('transfers', [])
        assert [(t.loss.type, t.loss.loss_weight) for t in transfers] == [
            ('NSTLoss', 'auto') if nst else ('KDLoss', f'auto:{ratio}') for ratio, nst in named
        ]


# The names.


@pytest.mark.parametrize('name', [name for name in NAMES if '/' in name])
def test_a_name_tells_the_method_the_widths_the_epochs_and_the_data_set(name):
    folder, stem = name.removesuffix('.py').split('/')
    *_, schedule, dataset = fields = stem.split('_')
    cfg = config(name)
    assert fields[0].startswith(folder.replace('_', '-'))
    models = [cfg.model]
    if taught(name):
        models = [cfg.model.student, teacher_model(cfg.model.teacher)]
    backbones = fields[2:-2] if folder == 'nst' else fields[1:-2]
    assert [_field(model) for model in models] == [
        field.removesuffix('-nst-pre') for field in backbones
    ]
    assert schedule.split('-')[-1] == f'{cfg.train_cfg.max_epochs}e'
    data = cfg.train_dataloader.dataset
    data = data.get('dataset', data)
    root = cfg.test_dataloader.dataset.data_root
    roots = {'shapes': 'data/shapes/', 'shapes128': 'data/shapes_table/'}
    assert root == f'{roots.get(dataset, "data/")}VOCdevkit/'
    assert (data.type == 'ConcatDataset') == (dataset == 'voc0712')


def _field(model) -> str:
    """A backbone as a name of a config writes it."""
    backbone = model.backbone
    if model.type == 'BareBackbone':
        return f'{_timm_field(backbone)}-backbone'
    if backbone.type == 'ResNet':
        return f'r{backbone.depth}-c4'
    if backbone.type == 'TIMMBackbone':
        return _timm_field(backbone)
    return 'inception-bn' + ('' if backbone.width == 1 else f'-w{backbone.width}')


def _timm_field(backbone) -> str:
    return backbone.model_name.removeprefix('tf_').replace('_', '-')


# The numbers.


@pytest.mark.parametrize('width', ['', '-w0.5', '-w0.375', '-w0.25'])
def test_the_channel_numbers_are_those_of_the_width(width):
    model = _config(f'_base_/models/faster-rcnn_inception-bn{width}-c4.py').model
    assert model.backbone.width == float(width[2:] or 1)
    assert model.roi_head.shared_head.width == model.backbone.width
    taps = InceptionBN.taps(model.backbone.width)
    assert model.rpn_head.in_channels == taps['4b'].channels
    assert model.roi_head.bbox_roi_extractor.out_channels == taps['4b'].channels
    assert model.roi_head.bbox_head.in_channels == taps['5b'].channels


@pytest.mark.parametrize('name', NAMES)
def test_a_config_builds_its_detector(name):
    cfg = config(name)
    detector = MODELS.build(cfg.model)
    plain = 'SingleStageDetector' if name.startswith('gfl') else 'FasterRCNN'
    assert type(detector).__name__ == ('NSTDistiller' if taught(name) else plain)


@pytest.mark.parametrize('name', [*NAMES, *ROWS])
def test_a_training_is_protected_and_its_test_is_that_of_voc(name):
    cfg = config(name)
    assert 'FiniteLossHook' in [hook.type for hook in cfg.custom_hooks]
    assert cfg.val_evaluator == cfg.test_evaluator
    assert (cfg.test_evaluator.type, cfg.test_evaluator.eval_mode) == (
        'VOCDevkitMetric',
        '11points',
    )


@pytest.mark.parametrize(
    'name', [name for name in [*NAMES, *ROWS] if taught(name) and 'backbone' not in name]
)
def test_a_teacher_is_the_last_checkpoint_of_a_shipped_config(name):
    teacher = config(name).model.teacher
    path = Path(teacher.config).resolve()  # absolute, so that it is found from any folder
    assert path in PLAIN
    trained = _config(path.relative_to(CONFIGS).as_posix())
    assert trained.model.type == 'FasterRCNN'
    checkpoint = Path(teacher.checkpoint)
    assert checkpoint.name == f'epoch_{trained.train_cfg.max_epochs}.pth'
    # What tools/train.py, make demo and make table-demo write.
    assert checkpoint.parent in (
        Path('work_dirs', path.stem),
        Path('work_dirs/demo/teacher'),
        Path('work_dirs/table_demo/teacher/seed0'),
    )


def test_the_main_job_follows_the_standard_protocol_of_voc():
    cfg = config('faster_rcnn_nst_voc.py')
    train = cfg.train_dataloader.dataset.dataset
    assert train.ann_file == 'VOC2007/ImageSets/Main/trainval.txt'
    assert cfg.test_dataloader.dataset.ann_file == 'VOC2007/ImageSets/Main/test.txt'
    resize = next(step for step in train.pipeline if step.type == 'Resize')
    assert (resize.scale, resize.keep_ratio) == ((1000, 600), True)
    assert any(step.type == 'RandomFlip' for step in train.pipeline)


def test_the_images_of_the_small_voc_configs_are_of_320_pixels():
    cfg = config('nst/nst_faster-rcnn_inception-bn-w0.5_efficientnet-lite2_320-10e_voc07.py')
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        (resize,) = [step for step in loader.dataset.pipeline if step.type == 'Resize']
        assert (resize.scale, resize.keep_ratio) == ((320, 320), True)


def test_the_demo_is_of_the_four_drawn_shapes():
    for path in DEMO.values():
        cfg = load_config(str(path))
        detector = cfg.model.get('student', cfg.model)
        assert detector.roi_head.bbox_head.num_classes == 4
        assert cfg.train_dataloader.dataset.metainfo.classes[-1] == 'star'


def test_weights_in_mxnets_format_are_given_mxnets_geometry():
    model = config('faster_rcnn/faster-rcnn_inception-bn-nst-pre_4e_voc07.py').model
    assert model.backbone.variant == model.roi_head.shared_head.variant == 'mxnet'
    assert model.data_preprocessor.bgr_to_rgb
    assert model.data_preprocessor.mean == [0, 0, 0]


# The tables.


@pytest.mark.parametrize('table', TABLES)
def test_a_table_has_the_rows_of_the_paper(table):
    rows = _rows(f'tables/{table}.py')
    losses = {
        row: [transfer.loss.type for transfer in cfg.model.get('transfers', [])]
        for row, cfg in rows.items()
    }
    assert losses == METHODS
    methods = [cfg.method for cfg in rows.values()]
    assert methods[:4] == ['Baseline', 'KD', 'FitNet', 'AT']
    assert len(set(methods)) == len(METHODS)


@pytest.mark.parametrize('table', TABLES)
def test_the_rows_of_a_table_differ_in_what_is_transferred_alone(table):
    rows = deepcopy(_rows(f'tables/{table}.py'))
    student = rows['baseline'].model
    for cfg in rows.values():
        assert cfg.model.get('student', cfg.model) == student
        for key in ('model', 'method', 'row', 'transfers_of_row'):
            cfg.pop(key)
    assert all(cfg.to_dict() == rows['kd'].to_dict() for cfg in rows.values())


def test_a_table_is_its_baseline_until_a_row_is_named(monkeypatch):
    monkeypatch.delenv('ROW', raising=False)
    assert load_config(str(CONFIGS / 'tables/table4_shapes.py')).method == 'Baseline'
    monkeypatch.setenv('ROW', 'kd_at')
    assert load_config(str(CONFIGS / 'tables/table4_shapes.py')).method == 'KD + AT'


def test_a_misspelt_row_is_one_line_with_all_rows(monkeypatch):
    monkeypatch.setenv('ROW', 'nst_pol')
    with pytest.raises(UserError, match='^[^\n]*ROW is nst_pol, expected one of baseline, kd, '):
        load_config(str(CONFIGS / 'tables/table4_shapes.py'))


# A step of training.


def one_image():
    """A batch of noise with an object in it."""
    size = (96, 128)
    shapes = dict(img_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1, 1))
    sample = DetDataSample(metainfo=shapes)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 60, 60]]), labels=torch.tensor([3])
    )
    return 100 * torch.randn(1, 3, *size), [sample]


def take_few_regions(detector):
    detector.train_cfg.rcnn.sampler.num = 8
    detector.train_cfg.rpn_proposal.max_per_img = 50


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.slow] * ('_voc' in n)) for n in ROWS]
)
def test_a_row_takes_a_step_of_training(name):
    model = config(name).model
    if 'teacher' in model:
        model.teacher.checkpoint = 'random'
    take_few_regions(model.get('student', model))
    detector = MODELS.build(model)
    detector.init_weights()
    losses = detector.loss(*one_image())
    transferred = [losses[transfer.name] for transfer in getattr(detector, 'transfers', [])]
    assert len(transferred) == len(METHODS[name.split()[1]])
    assert all(loss.isfinite() and loss > 0 for loss in transferred)
    detector.parse_losses(losses)[0].backward()
    assert detector.backbone.conv1.conv7x7.conv.weight.grad.isfinite().all()


def test_a_resnet_101_teaches_the_student_at_its_stride_16_feature_map():
    model = config('nst/nst_faster-rcnn_inception-bn_r101-c4_4e_voc07.py').model
    teacher = load_config(model.teacher.config).model
    assert teacher.backbone.depth == teacher.roi_head.shared_head.depth == 101
    for part in (teacher.backbone, teacher.roi_head.shared_head):
        part.init_cfg = None  # no download
    model.teacher = dict(config=teacher, checkpoint='random')
    take_few_regions(model.student)
    distiller = MODELS.build(model)
    distiller.student.init_weights()
    losses = distiller.loss(*one_image())
    losses['loss_nst_backbone_inception_4b'].backward()
    assert distiller.student.backbone.conv1.conv7x7.conv.weight.grad.abs().sum() > 0

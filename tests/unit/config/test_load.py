"""The shipped configs, and the reading of configs."""

from pathlib import Path

import pytest
import torch
from locations import CONFIGS
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from nst_det.config.load import load_config
from nst_det.errors import UserError

EXPERIMENTS = sorted(CONFIGS.glob('*.py')) + sorted(CONFIGS.glob('[!_]*/*.py'))
# Those with a teacher; in a table all rows but these.
TABLES = ('shapes_table', 'voc_small_table', 'voc_table4')
ALONE = ('baseline', 'teacher', 'finetune_nst')
TAUGHT = [
    path
    for path in EXPERIMENTS
    if (path.stem not in ALONE if path.parent.name in TABLES else 'nst' in path.stem)
]
# Every row of every table; those of VOC, which are bigger, are slow.
ROWS = [
    pytest.param(path, marks=[pytest.mark.slow] * (path.parent.name != 'shapes_table'))
    for path in EXPERIMENTS
    if path.parent.name in TABLES and path.stem not in ('teacher', 'finetune_nst')
]


def ident(path):
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize('path', EXPERIMENTS, ids=ident)
def test_every_config_builds_its_detector(path):
    cfg = load_config(str(path))
    detector = MODELS.build(cfg.model)
    assert (type(detector).__name__ == 'NSTDistiller') == (path in TAUGHT)
    assert cfg.val_evaluator.eval_mode == '11points'


@pytest.mark.parametrize('path', TAUGHT, ids=ident)
def test_every_teacher_has_a_config_of_its_own(path):
    teacher = load_config(str(path)).model.teacher
    assert Path(teacher.config).is_absolute()  # so that it is found from any folder
    assert load_config(teacher.config).model.type == 'FasterRCNN'
    assert Path(teacher.config).stem in Path(teacher.checkpoint).parts


def test_the_standard_voc_protocol():
    cfg = load_config(str(CONFIGS / 'faster_rcnn_nst_voc.py'))
    train = cfg.train_dataloader.dataset.dataset
    assert train.ann_file == 'VOC2007/ImageSets/Main/trainval.txt'
    assert cfg.test_dataloader.dataset.ann_file == 'VOC2007/ImageSets/Main/test.txt'
    resize = next(step for step in train.pipeline if step.type == 'Resize')
    assert (resize.scale, resize.keep_ratio) == ((1000, 600), True)
    assert any(step.type == 'RandomFlip' for step in train.pipeline)


def test_the_slim_student_is_half_as_wide_as_its_teacher():
    cfg = load_config(str(CONFIGS / 'faster_rcnn_nst_slim_voc.py'))
    student, teacher = cfg.model.student, load_config(cfg.model.teacher.config).model
    assert 2 * student.rpn_head.in_channels == teacher.rpn_head.in_channels == 576


def test_a_config_of_a_package_is_found_by_its_name():
    assert load_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model.type


@pytest.mark.parametrize('name', ['faster_rcnn_nst_voc.py', 'voc_table4/nst_poly.py'])
def test_a_config_of_ours_is_inherited_by_its_name_from_any_folder(name, tmp_path):
    heir = tmp_path / 'heir.py'
    heir.write_text(f"_base_ = 'nst_det::{name}'\n")
    cfg = load_config(str(heir))
    assert cfg.to_dict() == load_config(f'nst_det::{name}').to_dict()
    assert cfg.model.student == load_config(str(CONFIGS / name)).model.student
    assert MODELS.build(cfg.model).transfers  # its names are mmdet's, not of a scope nst_det
    assert load_config(cfg.model.teacher.config).model.type == 'FasterRCNN'


def test_a_base_of_the_package_is_inherited_and_its_teacher_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('heir.py').write_text(
        "_base_ = 'nst_det::_base_/default_runtime.py'\n"
        "model = dict(teacher=dict(config='nst_det::faster_rcnn/faster-rcnn_inception-bn-w0.375_14e_shapes.py'))\n"
    )
    cfg = Config.fromfile('heir.py')
    assert cfg.default_scope == 'mmdet'
    assert load_config(cfg.model.teacher.config).model.backbone.width == 0.375


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('nst_det::voc_table4/nst_pol.py', "'nst_det::tables/table4_voc07.py'"),
        (str(CONFIGS / 'faster_rcnn_nst_vok.py'), "faster_rcnn_nst_voc.py'"),
        ('/nowhere/at/all.py', 'there is no config file /nowhere/at/all.py'),
        ('mmdet::no/such.py', 'config mmdet::no/such.py cannot be read'),
    ],
)
def test_a_config_that_is_not_there_is_one_clear_line(path, message):
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        load_config(path)
    assert message in str(error.value)


def test_a_config_that_is_no_python_is_one_clear_line(tmp_path):
    file = tmp_path / 'broken.py'
    file.write_text('model = dict(\n')
    with pytest.raises(UserError, match=r'^config \S+ cannot be read: [^\n]*$'):
        load_config(str(file))


def one_image():
    """A batch of noise with an object in it."""
    size = (96, 128)
    shapes = dict(img_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1, 1))
    sample = DetDataSample(metainfo=shapes)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 60, 60]]), labels=torch.tensor([3])
    )
    return 100 * torch.randn(1, 3, *size), [sample]


@pytest.mark.parametrize('path', ROWS, ids=ident)
def test_every_row_of_a_table_takes_a_step_of_training(path):
    model = load_config(str(path)).model
    if 'teacher' in model:
        model.teacher.checkpoint = 'random'
    student = model.get('student', model)
    student.train_cfg.rcnn.sampler.num = 8  # few regions, for the test's time
    detector = MODELS.build(model)
    detector.init_weights()
    losses = detector.loss(*one_image())
    transferred = [losses[one.name] for one in getattr(detector, 'transfers', [])]
    assert len(transferred) == (path.stem != 'baseline') + path.stem.startswith('kd_')
    assert all(loss.isfinite() and loss > 0 for loss in transferred)
    detector.parse_losses(losses)[0].backward()
    assert detector.backbone.conv1.conv7x7.conv.weight.grad.isfinite().all()


def test_a_resnet_101_teaches_the_student_at_its_stride_16_map():
    model = load_config(str(CONFIGS / 'faster_rcnn_nst_r101_voc.py')).model
    teacher = load_config(model.teacher.config).model
    assert teacher.backbone.depth == teacher.roi_head.shared_head.depth == 101
    for part in (teacher.backbone, teacher.roi_head.shared_head):
        part.init_cfg = None  # no download
    model.teacher = dict(config=teacher, checkpoint='random')
    distiller = MODELS.build(model)
    distiller.init_weights()
    losses = distiller.loss(*one_image())
    losses['loss_nst_backbone_inception_4b'].backward()
    assert distiller.student.backbone.conv1.conv7x7.conv.weight.grad.abs().sum() > 0


def test_the_fine_tuned_row_takes_mxnets_weights_in_mxnets_geometry():
    model = load_config(str(CONFIGS / 'voc_table4' / 'finetune_nst.py')).model
    assert model.backbone.variant == model.roi_head.shared_head.variant == 'mxnet'
    assert model.data_preprocessor.bgr_to_rgb
    assert model.data_preprocessor.mean == [0, 0, 0]

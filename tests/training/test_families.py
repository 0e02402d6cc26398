"""Every detector family of mmdet learns by NST, CWD and PKD, from its config to a prediction."""

import json
import math
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from locations import CONFIGS
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from nst_det.apis.add_nst import Addition, add_nst
from nst_det.config.load import load_config
from nst_det.datasets import SHAPE_CLASSES
from nst_det.errors import UserError
from nst_det.fileio.state_dict import read_state_dict

slow = pytest.mark.slow

FAMILIES = [
    pytest.param('yolox/yolox_tiny_8xb8-300e_coco.py', id='YOLOX'),
    pytest.param('detr/detr_r50_8xb2-150e_coco.py', id='DETR'),
    *(
        pytest.param(config, id=name, marks=slow)
        for name, config in {
            'Faster R-CNN FPN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
            'Faster R-CNN C4': 'faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py',
            'Mask R-CNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
            'Cascade R-CNN': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
            'Sparse R-CNN': 'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
            'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
            'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
            'ATSS': 'atss/atss_r50_fpn_1x_coco.py',
            'GFL': 'gfl/gfl_r50_fpn_1x_coco.py',
            'VFNet': 'vfnet/vfnet_r50_fpn_1x_coco.py',
            'TOOD': 'tood/tood_r50_fpn_1x_coco.py',
            'YOLOv3': 'yolo/yolov3_d53_8xb8-320-273e_coco.py',
            'RTMDet': 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
            'CenterNet': 'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
            'CenterNet update': 'centernet/centernet-update_r50-caffe_fpn_ms-1x_coco.py',
            'RepPoints': 'reppoints/reppoints-moment_r50_fpn_1x_coco.py',
            'Deformable DETR': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
            'DINO': 'dino/dino-4scale_r50_8xb2-12e_coco.py',
            'SOLOv2': 'solov2/solov2_r50_fpn_1x_coco.py',
            'Swin': 'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
        }.items()
    ),
]
PAIRS = [
    pytest.param(
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py',
        id='Faster R-CNN R101 to RetinaNet R50',
        marks=slow,
    ),
    *(
        pytest.param(student, teacher, id=name, marks=slow)
        for name, student, teacher in [
            (
                'Mask R-CNN Swin to Faster R-CNN R50',
                'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
                'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
            ),
            (
                'RetinaNet Swin to YOLOX',
                'yolox/yolox_tiny_8xb8-300e_coco.py',
                'swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py',
            ),
            (
                'DETR to Faster R-CNN C4',
                'faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py',
                'detr/detr_r50_8xb2-150e_coco.py',
            ),
        ]
    ),
]
SEQUENCES = [
    pytest.param('detr/detr_r50_8xb2-150e_coco.py', 'encoder', id='DETR'),
    pytest.param('deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', 'encoder/16', id='DDETR'),
    pytest.param('swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py', 'backbone.stages.2[2]', id='Swin'),
]


@pytest.fixture(scope='module')
def coco(shapes, tmp_path_factory) -> Path:
    """The training images of the shapes with annotations as in COCO; each mask is a box."""
    images, annotations = [], []
    for i, file in enumerate(sorted(shapes.glob('VOC2007/Annotations/*.xml'))[:4]):
        tree = ElementTree.parse(file)
        images.append(dict(id=i, file_name=tree.findtext('filename'), width=64, height=64))
        for one in tree.findall('object'):
            box = one.find('bndbox')
            x, y = (int(box.findtext(key)) - 1 for key in ('xmin', 'ymin'))
            right, bottom = (int(box.findtext(key)) for key in ('xmax', 'ymax'))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=SHAPE_CLASSES.index(one.findtext('name')),
                    bbox=[x, y, right - x, bottom - y],
                    area=(right - x) * (bottom - y),
                    iscrowd=0,
                    segmentation=[[x, y, right, y, right, bottom, x, bottom]],
                )
            )
    categories = [dict(id=i, name=name) for i, name in enumerate(SHAPE_CLASSES)]
    file = tmp_path_factory.mktemp('coco') / 'coco.json'
    file.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return file


@pytest.fixture
def folder(tmp_path):
    """A folder that is removed after the test: the checkpoints of some detectors are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def small(name: str, coco: Path, images: Path) -> Config:
    """A config of mmdet with small images, four classes and a narrow ResNet."""
    cfg = load_config(f'mmdet::{name}')
    masks = _has_masks(cfg.model)
    _set(cfg.model, num_classes=4, num_queries=100, num=32, max_per_img=20)
    _set(cfg.model.data_preprocessor, random_size_range=(96, 128), interval=1)
    _without_downloads(cfg.model)
    backbone, neck = cfg.model.backbone, cfg.model.get('neck')
    if backbone.type == 'ResNet' and backbone.depth > 18 and neck is not None:
        backbone.base_channels = 16
        neck.in_channels = [channels // 4 for channels in neck.in_channels]
    dataset = dict(
        type='CocoDataset',
        ann_file=str(coco),
        data_prefix=dict(img=f'{images}/VOC2007/JPEGImages/'),
        metainfo=dict(classes=SHAPE_CLASSES),
    )
    train_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=masks),
        # Two shapes, so that a batch is padded.
        dict(type='RandomChoiceResize', scales=[(128, 96), (96, 128)], keep_ratio=False),
        dict(type='PackDetInputs'),
    ]
    test_pipeline = cfg.test_dataloader.dataset.pipeline
    _set(test_pipeline, scale=(128, 128), size=(128, 128))
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
    train_dataset = dict(dataset, pipeline=train_pipeline)
    if cfg.train_dataloader.dataset.type == 'MultiImageMixDataset':  # which a hook of YOLOX needs
        train_dataset['pipeline'] = train_pipeline[:2]
        train_dataset = dict(
            type='MultiImageMixDataset', dataset=train_dataset, pipeline=train_pipeline[2:]
        )
    cfg.train_dataloader = dict(loader, dataset=train_dataset)
    cfg.test_dataloader = dict(
        loader, dataset=dict(dataset, pipeline=test_pipeline, test_mode=True)
    )
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    for key in ('val_dataloader', 'val_evaluator', 'val_cfg', 'tta_model', 'tta_pipeline'):
        cfg.pop(key, None)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    cfg.default_hooks.logger.interval = 1
    cfg.log_level = 'ERROR'
    cfg.randomness = dict(seed=0)
    return cfg


def _has_masks(part: object) -> bool:
    if isinstance(part, dict):
        return 'mask_head' in part or any(map(_has_masks, part.values()))
    return isinstance(part, (list, tuple)) and any(map(_has_masks, part))


def _without_downloads(part: object) -> None:
    if isinstance(part, dict) and dict(part.get('init_cfg') or {}).get('type') == 'Pretrained':
        part.init_cfg = None
    for child in part.values() if isinstance(part, dict) else part:
        if isinstance(child, (dict, list, tuple)):
            _without_downloads(child)


def _set(part: object, **values) -> None:
    """Set options wherever they are in a config."""
    if isinstance(part, dict):
        part.update({key: value for key, value in values.items() if part.get(key) is not None})
    for child in part.values() if isinstance(part, dict) else part:
        if isinstance(child, (dict, list, tuple)):
            _set(child, **values)


def distil_and_predict(
    student: str, teacher: str, coco: Path, images: Path, folder: Path, pairs=()
) -> None:
    """Add NST, CWD and PKD to a config, train 2 iterations, and predict with the plain student."""
    for role, name in [('student', student), ('teacher', teacher)]:
        small(name, coco, images).dump(folder / f'{role}.py')
    torch.manual_seed(1)
    model = MODELS.build(load_config(str(folder / 'teacher.py')).model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / 'teacher.pth')
    addition = Addition(
        student=str(folder / 'student.py'),
        teacher=str(folder / 'teacher.py'),
        checkpoint=str(folder / 'teacher.pth'),
        kernel=dict(type='PolynomialKernel'),
        loss_weight=50.0,
    )
    add_nst(addition, str(folder / 'nst.py'), pairs)
    cfg = load_config(str(folder / 'nst.py'))
    cfg.model.transfers += [
        dict(transfer, loss=dict(type=loss))
        for loss in ('CWDLoss', 'PKDLoss')
        for transfer in cfg.model.transfers
    ]
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = cfg.visualizer.name = str(folder.name)  # both are kept by name
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone() for name, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    scalars = runner.message_hub.log_scalars
    for method in ('nst', 'cwd', 'pkd'):
        losses = [scalars[key].data[0] for key in scalars if f'/loss_{method}_' in key]
        assert len(losses) == len(cfg.model.transfers) / 3
        for values in losses:
            assert len(values) == 2
            assert all(math.isfinite(value) and value >= 0 for value in values)
        # The softmax of CWD over a single position is always 1.
        assert sum(min(values) > 0 for values in losses) >= (1 if method == 'cwd' else len(losses))
    assert any(not torch.equal(value, before[n]) for n, value in runner.model.named_parameters())

    plain_cfg = load_config(str(folder / 'student.py'))
    plain = MODELS.build(plain_cfg.model).eval()
    plain.load_state_dict(read_state_dict(folder / 'work_dir/epoch_1.pth'), strict=True)
    loader = Runner.build_dataloader(plain_cfg.test_dataloader)
    with torch.no_grad():
        results = plain.test_step(next(iter(loader)))
    assert len(results) == 2
    assert all('pred_instances' in result for result in results)


@pytest.mark.parametrize('config', FAMILIES)
def test_a_family_learns_from_its_own_kind(config, coco, shapes, folder):
    distil_and_predict(config, config, coco, shapes, folder)


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
def test_a_family_learns_from_another(student, teacher, coco, shapes, folder):
    distil_and_predict(student, teacher, coco, shapes, folder)


@slow
@pytest.mark.parametrize(('config', 'layer'), SEQUENCES)
def test_a_student_learns_the_sequence_of_a_transformer(config, layer, coco, shapes, folder):
    distil_and_predict(config, config, coco, shapes, folder, [(layer, layer)])


def knowledge_transfer(
    config: str, coco: Path, images: Path, folder: Path, loss: str = 'KDLoss'
) -> Runner:
    """Train a detector with a loss of predictions and an untrained teacher of the same config."""
    cfg = small(config, coco, images)
    _without_downloads(cfg.model)
    cfg.model = dict(
        type='NSTDistiller',
        student=cfg.model,
        teacher=dict(config=dict(cfg.model), checkpoint='random'),
        transfers=[dict(loss=dict(type=loss))],
    )
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = cfg.visualizer.name = str(folder.name)
    cfg.default_hooks.checkpoint.interval = -1
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@slow
@pytest.mark.parametrize(
    'config',
    [
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        'atss/atss_r50_fpn_1x_coco.py',
        'gfl/gfl_r50_fpn_1x_coco.py',
        'vfnet/vfnet_r50_fpn_1x_coco.py',
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        'yolox/yolox_tiny_8xb8-300e_coco.py',
        'reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    ],
    ids=lambda config: config.split('/')[0],
)
def test_a_family_learns_the_logits_of_its_own_kind(config, coco, shapes, folder):
    runner = knowledge_transfer(config, coco, shapes, folder)
    losses = runner.message_hub.get_scalar('train/loss_kd').data[0]
    assert len(losses) == 2
    assert all(math.isfinite(value) and value > 0 for value in losses)


@slow
@pytest.mark.parametrize(
    ('loss', 'config'),
    [
        ('LDLoss', 'gfl/gfl_r50_fpn_1x_coco.py'),
        ('CrossKDLoss', 'gfl/gfl_r50_fpn_1x_coco.py'),
        ('CrossKDLoss', 'retinanet/retinanet_r50_fpn_1x_coco.py'),
        ('CrossKDLoss', 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'),
        ('CrossKDLoss', 'atss/atss_r50_fpn_1x_coco.py'),
        ('MatchedQueryLoss', 'detr/detr_r50_8xb2-150e_coco.py'),
        ('MatchedQueryLoss', 'conditional_detr/conditional-detr_r50_8xb2-50e_coco.py'),
        ('MatchedQueryLoss', 'dab_detr/dab-detr_r50_8xb2-50e_coco.py'),
        ('MatchedQueryLoss', 'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'),
        ('MatchedQueryLoss', 'dino/dino-4scale_r50_8xb2-12e_coco.py'),
    ],
    ids=lambda text: text.split('/')[0],
)
def test_a_family_learns_the_predictions_of_its_own_kind(loss, config, coco, shapes, folder):
    runner = knowledge_transfer(config, coco, shapes, folder, loss)
    (name,) = [
        key
        for key in runner.message_hub.log_scalars
        if key.startswith('train/loss_') and (key.split('_')[1] in ('ld', 'crosskd', 'query'))
    ]
    losses = runner.message_hub.get_scalar(name).data[0]
    assert len(losses) == 2
    assert all(math.isfinite(value) and value > 0 for value in losses)


@slow
@pytest.mark.parametrize(
    'config',
    [
        'detr/detr_r50_8xb2-150e_coco.py',
        'tood/tood_r50_fpn_1x_coco.py',
        'yolo/yolov3_d53_8xb8-320-273e_coco.py',
        'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
        'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
    ],
    ids=lambda config: config.split('/')[0],
)
def test_kd_refuses_a_family_without_suitable_logits(config, coco, shapes, folder):
    with pytest.raises(UserError, match=r'^[^\n]*KDLoss[^\n]*$') as error:
        knowledge_transfer(config, coco, shapes, folder)
    assert error.value.option == 'transfers[0].loss'


@slow
@pytest.mark.parametrize(
    'file', sorted(CONFIGS.glob('from_mmrazor/*.py')), ids=lambda file: file.stem
)
def test_a_config_of_mmrazor_trains_two_iterations_here(file, coco, shapes, folder):
    rewritten = load_config(str(file))
    base = re.search(r"^_base_ = 'mmdet::(.*)'$", file.read_text(), re.M)
    if base is None:  # it extends another one of ours
        extended = file.parent / re.search(r"^_base_ = '(.*)'$", file.read_text(), re.M)[1]
        base = re.search(r"^_base_ = 'mmdet::(.*)'$", extended.read_text(), re.M)
    cfg = small(base[1], coco, shapes)
    teacher = small(rewritten.model.teacher.config.removeprefix('mmdet::'), coco, shapes)
    cfg.model = dict(
        rewritten.model,
        student=cfg.model,
        teacher=dict(config=teacher.model, checkpoint='random'),
    )
    image = next((shapes / 'VOC2007' / 'JPEGImages').iterdir())
    cfg.custom_hooks = [
        dict(hook, image=str(image)) if hook['type'] == 'PatternFigureHook' else hook
        for hook in rewritten.get('custom_hooks', [])
    ]
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = cfg.visualizer.name = str(folder.name)
    cfg.default_hooks.checkpoint.interval = -1
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    method = file.stem.split('_')[0]
    scalars = runner.message_hub.log_scalars
    losses = {key: one.data[0] for key, one in scalars.items() if f'/loss_{method}' in key}
    assert len(losses) == len(rewritten.model.transfers) in (4, 5)
    for values in losses.values():
        assert len(values) == 2
        assert all(math.isfinite(value) and value >= 0 for value in values)
    # The smallest level has a single position, over which a softmax is always 1.
    assert sum(min(values) > 0 for values in losses.values()) >= 3

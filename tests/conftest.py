"""What the tests share."""

import gc
import hashlib
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
import quick_runner  # noqa: F401  it makes Runners start quickly
import torch
from locations import CONFIGS, DEMO, SHARED
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope, init_default_scope
from warm_python import WarmPython

import nst_det  # noqa: F401  registers what it adds to mmdet, and supplies mmcv's ops
from nst_det.datasets import make_shapes_devkit
from nst_det.models import InceptionBN

torch.set_num_threads(1)  # the models here are too small for more
init_default_scope('mmdet')  # for the fixtures of the session, which run before fresh_globals
# Every data set collects garbage once it is read. What was imported is never garbage: a Runner
# takes a third less time where the collector does not look at it.
gc.collect()
gc.freeze()


@pytest.fixture(scope='session')
def shared() -> Path:
    """The folder with the reference data, which a lone checkout of the repository lacks."""
    folder = SHARED
    if not folder.is_dir():
        pytest.skip(f'no reference data: there is no folder {folder}')
    return folder


@pytest.fixture(scope='session')
def warm_python(tmp_path_factory):
    """The path of a Python that starts at once, with all imported that this process has."""
    made = WarmPython(tmp_path_factory.mktemp('warm_python'))
    yield str(made.python)
    made.close()


@pytest.fixture(autouse=True)
def fresh_globals():
    """Nothing is left of the Runners of earlier tests: no default scope, no values for the log.

    Two Runners of one second have one name, and so would have one message hub.
    """
    init_default_scope('mmdet')
    MessageHub._instance_dict.clear()


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> Path:
    """A devkit of 8 training and 4 test images, 64 pixels wide."""
    return make_shapes_devkit(tmp_path_factory.mktemp('shapes'), 8, 4, image_size=64, seed=1)


@pytest.fixture(scope='session')
def tiny_configs(shapes) -> Callable[..., Config]:
    """The demo's configs, shrunk to seconds: ``tiny_configs(folder, 'student', **changes)``."""
    read = cache(Config.fromfile)

    def load(folder: Path, name: str, **changes) -> Config:
        cfg = deepcopy(read(DEMO[name]))
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            loader.batch_size = 4 if split == 'train' else 2
            loader.dataset.data_root = f'{shapes}/'
        detector = cfg.model.get('student', cfg.model)
        detector.backbone.width = detector.roi_head.shared_head.width = 0.125
        detector.rpn_head.in_channels = detector.roi_head.bbox_roi_extractor.out_channels = (
            InceptionBN.taps(0.125)['4b'].channels
        )
        detector.roi_head.bbox_head.in_channels = InceptionBN.taps(0.125)['5b'].channels
        detector.rpn_head.feat_channels = 16
        cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 2
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
        cfg.default_hooks.logger.interval = 1
        cfg.custom_hooks = [one for one in cfg.custom_hooks if one.type != 'PatternFigureHook']
        cfg.log_level = 'ERROR'
        cfg.work_dir = str(folder / 'work_dir')
        cfg.merge_from_dict(changes)
        return cfg

    return load


@pytest.fixture(scope='session')
def tiny_distillers(tiny_configs) -> Callable[..., Config]:
    """The demo's NST config, shrunk, with the checkpoint of a (random) teacher in the folder."""

    @cache
    def make_teacher() -> tuple[bytes, torch.Tensor]:
        """Give the teacher's checkpoint, and the state in which making it leaves the generator."""
        torch.manual_seed(7)
        detector = MODELS.build(tiny_configs(Path(), 'teacher').model)
        detector.init_weights()
        torch.save(dict(state_dict=detector.state_dict()), content := BytesIO())
        return content.getvalue(), torch.get_rng_state()

    def load(folder: Path, **changes) -> Config:
        teacher = tiny_configs(folder, 'teacher')
        checkpoint = folder / 'teacher.pth'
        content, generator_state = make_teacher()
        checkpoint.write_bytes(content)
        torch.set_rng_state(generator_state)
        cfg = tiny_configs(folder, 'nst_student')
        cfg.model.teacher = dict(config=teacher.model, checkpoint=str(checkpoint))
        cfg.model.transfers[0].loss.loss_weight = 50.0
        cfg.merge_from_dict(changes)
        return cfg

    return load


@pytest.fixture(scope='session')
def tiny_classifiers() -> Callable[..., Config]:
    """The digits' student, shrunk: ``tiny_classifiers(folder, distilled=False, **changes)``.

    Distilled, it has a (random) teacher with its checkpoint in the folder.
    """
    pytest.importorskip('mmpretrain', reason='no mmpretrain, whose classifiers are distilled')
    read, numbers = cache(Config.fromfile), count()

    def load(folder: Path, distilled: bool = False, **changes) -> Config:
        cfg = deepcopy(read(CONFIGS / 'classification/small-inception-bn-w0.125_5e_digits.py'))
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            loader.batch_size = 4
            loader.dataset.update(size=16, indices=8 if split == 'train' else 4)
        cfg.train_dataloader.dataset.pipeline[0].crop_size = 16
        cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 2
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
        cfg.default_hooks.logger.interval = 1
        cfg.log_level = 'ERROR'
        cfg.work_dir = str(folder / 'work_dir')
        # Else it has the name, and so the scope, of a detector's training in the same second.
        cfg.experiment_name = f'classifier_{next(numbers)}'
        if distilled:
            teacher = deepcopy(cfg.model)
            teacher.backbone.width = 0.25
            teacher.head.in_channels = 88
            checkpoint = folder / 'teacher.pth'
            with torch.random.fork_rng(), DefaultScope.overwrite_default_scope('mmpretrain'):
                torch.manual_seed(7)
                torch.save(dict(state_dict=MODELS.build(teacher).state_dict()), checkpoint)
            layer = 'backbone.inception_4b'
            cfg.model = dict(
                type='NSTDistiller',
                student=cfg.model,
                teacher=dict(config=teacher, checkpoint=str(checkpoint)),
                transfers=[dict(layer=layer, loss=dict(type='NSTLoss', loss_weight=50.0))],
            )
        cfg.merge_from_dict(changes)
        return cfg

    return load


@pytest.fixture
def take_for_genuine(monkeypatch) -> Callable[[type, Path], None]:
    """``take_for_genuine(reader, root)`` gives torchvision the checksums of the small files."""

    def change(reader: type, root: Path) -> None:
        def checksum(name: str) -> str:
            return hashlib.md5((root / reader.base_folder / name).read_bytes()).hexdigest()

        for files in ('train_list', 'test_list'):
            names = [name for name, _ in getattr(reader, files)]
            monkeypatch.setattr(reader, files, [[name, checksum(name)] for name in names])
        meta = dict(reader.meta, md5=checksum(reader.meta['filename']))
        monkeypatch.setattr(reader, 'meta', meta)

    return change


@pytest.fixture
def tiny_config(tiny_configs, tmp_path) -> Callable[..., Config]:
    """``tiny_config('student', **changes)``: one of the shrunk configs, for this test alone."""
    return partial(tiny_configs, tmp_path)


@pytest.fixture
def tiny_distiller(tiny_distillers, tmp_path) -> Callable[..., Config]:
    """``tiny_distiller(**changes)``: the shrunk NST config, for this test alone."""
    return partial(tiny_distillers, tmp_path)


@pytest.fixture(params=['detector', 'classifier'])
def kind(request) -> str:
    """What student and teacher are: the test runs for each."""
    return request.param


@pytest.fixture
def either_distiller(kind, request, tmp_path) -> Callable[..., Config]:
    """``either_distiller(**changes)``: the shrunk NST config of detectors, then of classifiers."""
    if kind == 'detector':
        return partial(request.getfixturevalue('tiny_distillers'), tmp_path)
    return partial(request.getfixturevalue('tiny_classifiers'), tmp_path, True)


@pytest.fixture
def dense_detector() -> Callable[..., dict]:
    """A one-stage detector whose loss knows no chance: ``dense_detector(width=0.125)``."""

    def make(backbone: dict | None = None, width: float = 0.125) -> dict:
        return dict(
            type='SingleStageDetector',
            data_preprocessor=dict(type='DetDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3),
            backbone=backbone or dict(type='InceptionBN', width=width, norm_eval=True),
            bbox_head=dict(
                type='ATSSHead',
                num_classes=4,
                in_channels=int(576 * width),
                feat_channels=32,
                stacked_convs=1,
                anchor_generator=dict(
                    type='AnchorGenerator',
                    ratios=[1.0],
                    octave_base_scale=2,
                    scales_per_octave=1,
                    strides=[16],
                ),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
                loss_cls=dict(type='FocalLoss', use_sigmoid=True),
                loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
                loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
            ),
            train_cfg=dict(
                assigner=dict(type='ATSSAssigner', topk=4), allowed_border=-1, pos_weight=-1
            ),
            test_cfg=dict(nms_pre=10, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
        )

    return make


@pytest.fixture
def sample_everything() -> Callable[[dict], None]:
    """Makes a two-stage detector take all it could sample, as many of each image."""

    def change(faster_rcnn: dict) -> None:
        faster_rcnn.backbone.norm_eval = faster_rcnn.roi_head.shared_head.norm_eval = True
        train = faster_rcnn.train_cfg
        train.rpn.assigner.update(pos_iou_thr=0.5, neg_iou_thr=0.5)
        train.rcnn.assigner.update(pos_iou_thr=0.2, neg_iou_thr=0.2, min_pos_iou=0.2)
        train.rcnn.sampler.add_gt_as_proposals = False
        for stage in (train.rpn, train.rcnn):
            stage.sampler.num = 10**6
        train.rpn_proposal.update(
            nms_pre=30, max_per_img=30, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=1.0)
        )

    return change

"""The distillers whose steps are timed, and a batch as a data loader gives it."""

from collections.abc import Callable
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from benchmarks.on_gpu.report import Setup
from nst_det.config.load import load_config

INCEPTION_BN = str(Path(__file__).resolve().parents[2] / 'configs' / 'faster_rcnn_nst_voc.py')
R50_FPN = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
R101_FPN = 'mmdet::faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py'
FPN_LEVELS = 4  # of the RoI head


def inception_bn(setup: Setup) -> ConfigDict:
    """The main config: Inception-BN teaches Inception-BN by NST at its stride of 16."""
    cfg = load_config(INCEPTION_BN).model
    cfg.teacher = dict(config=load_config(cfg.teacher.config).model, checkpoint='random')
    return _for_benchmark(cfg, setup)


def r50_fpn(setup: Setup) -> ConfigDict:
    """ResNet-101 teaches ResNet-50 by NST at the levels of their FPN that the RoI head reads."""
    student, teacher = (load_config(config).model for config in (R50_FPN, R101_FPN))
    for detector in (student, teacher):
        detector.backbone.init_cfg = None  # its weights would be downloaded
    transfers = [
        dict(layer=f'neck[{level}]', loss=dict(type='NSTLoss', loss_weight=50.0))
        for level in range(FPN_LEVELS)
    ]
    cfg = ConfigDict(
        type='NSTDistiller',
        student=student,
        teacher=dict(config=teacher, checkpoint='random'),
        transfers=transfers,
    )
    return _for_benchmark(cfg, setup)


DISTILLERS: dict[str, Callable[[Setup], ConfigDict]] = {
    'Inception-BN C4': inception_bn,
    'R50-FPN': r50_fpn,
}


def _for_benchmark(cfg: ConfigDict, setup: Setup) -> ConfigDict:
    """Turn off what is not in every iteration, and if it is small reduce the regions."""
    cfg.monitor_interval = 0
    if setup.small:
        cfg.student.train_cfg.rcnn.sampler.num = 8
        cfg.student.train_cfg.rpn_proposal.max_per_img = 50
    return cfg


def build_distiller(cfg: ConfigDict, device: str, **teacher: object) -> nn.Module:
    """Build a distiller in training mode, with further options of its teacher."""
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(cfg, teacher=dict(cfg.teacher, **teacher)))
    model.init_weights()
    return model.to(device).train()


def loaded_batch(setup: Setup, images: int = 2) -> dict:
    """Draw a batch as a data loader gives it: byte images on the CPU, two objects in each."""
    generator = torch.Generator().manual_seed(0)
    shape = (128, 192) if setup.small else (600, 1000)
    inputs, samples = [], []
    for i in range(images):
        inputs.append(torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator))
        sample = DetDataSample(
            metainfo=dict(
                img_id=i,
                img_path=f'{i}.jpg',
                img_shape=shape,
                ori_shape=shape,
                scale_factor=(1.0, 1.0),
            )
        )
        boxes = torch.tensor([[10.0, 10.0, 80.0, 70.0], [60.0, 30.0, 120.0, 110.0]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1, 7]))
        none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
        sample.ignored_instances = InstanceData(bboxes=none[0], labels=none[1])
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)

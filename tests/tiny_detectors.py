"""Detectors of every family that can be exported, tiny, with weights that tell detections apart."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from mmengine.config import Config
from torch import Tensor, nn

from nst_det.apis.build import build_detector
from nst_det.config.load import load_config
from nst_det.export.verify import predict

CLASSES = ('circle', 'square', 'triangle', 'star')
BACKBONE = dict(
    _delete_=True,
    type='ResNet',
    depth=18,
    base_channels=8,
    stem_channels=8,
    norm_eval=False,
    norm_cfg=dict(type='BN'),
)
CHANNELS = [8, 16, 32, 64]
RPN = dict(in_channels=16, feat_channels=16)
RCNN = dict(in_channels=16, fc_out_channels=24, num_classes=4)
EXTRACTOR = dict(out_channels=16)
MASK = dict(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=4)
PROPOSALS = dict(rpn=dict(nms_pre=20, max_per_img=15))
# The channels of a shared head are fixed.
C4 = dict(
    backbone=dict(
        BACKBONE,
        base_channels=64,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    rpn_head=dict(in_channels=256, feat_channels=16),
    test_cfg=PROPOSALS,
)
C4_HEAD = dict(
    shared_head=dict(depth=18, norm_eval=False, norm_cfg=dict(type='BN')),
    bbox_roi_extractor=dict(out_channels=256),
    bbox_head=dict(in_channels=512, num_classes=4),
)
FPN = dict(in_channels=CHANNELS, out_channels=16)
DENSE = dict(num_classes=4, in_channels=16, feat_channels=16, stacked_convs=1)


def _transformer(points: bool, width: int = 32) -> dict:
    """The changes that make a transformer tiny; one with deformable attention has points."""
    attention = dict(embed_dims=width, num_heads=4)
    cross = dict(attention, num_levels=4, num_points=2) if points else attention
    ffn = dict(embed_dims=width, feedforward_channels=32)
    decoder = dict(self_attn_cfg=attention, cross_attn_cfg=cross, ffn_cfg=ffn)
    encoder = dict(self_attn_cfg=cross, ffn_cfg=ffn)
    return dict(
        num_queries=12,
        encoder=dict(num_layers=1, layer_cfg=encoder),
        decoder=dict(num_layers=2, layer_cfg=decoder),
        positional_encoding=dict(num_feats=width // 2),
        bbox_head=dict(num_classes=4, embed_dims=width),
        test_cfg=dict(max_per_img=10),
        neck=dict(in_channels=CHANNELS[1:] if points else CHANNELS[3:], out_channels=width),
        backbone=dict(BACKBONE, out_indices=(1, 2, 3) if points else (3,)),
    )


# By name: mmdet's config, the changes that make it tiny, and the layers of its class logits, in the
# order of their use.
FAMILIES: dict[str, tuple[str, dict, Sequence[str]]] = {
    'Faster R-CNN': (
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        dict(
            neck=FPN,
            rpn_head=RPN,
            roi_head=dict(bbox_roi_extractor=EXTRACTOR, bbox_head=RCNN),
            test_cfg=PROPOSALS,
        ),
        ('rpn_head.rpn_cls', 'roi_head.bbox_head.fc_cls'),
    ),
    'Faster R-CNN C4': (
        'faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py',
        dict(C4, roi_head=C4_HEAD),
        ('rpn_head.rpn_cls', 'roi_head.bbox_head.fc_cls'),
    ),
    'Mask R-CNN C4': (
        'mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py',
        dict(
            C4,
            roi_head=dict(
                C4_HEAD, mask_head=dict(in_channels=512, conv_out_channels=16, num_classes=4)
            ),
        ),
        ('rpn_head.rpn_cls', 'roi_head.bbox_head.fc_cls', 'roi_head.mask_head.conv_logits'),
    ),
    'Mask R-CNN': (
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        dict(
            neck=FPN,
            rpn_head=RPN,
            roi_head=dict(
                bbox_roi_extractor=EXTRACTOR,
                bbox_head=RCNN,
                mask_roi_extractor=EXTRACTOR,
                mask_head=MASK,
            ),
            test_cfg=PROPOSALS,
        ),
        ('rpn_head.rpn_cls', 'roi_head.bbox_head.fc_cls', 'roi_head.mask_head.conv_logits'),
    ),
    'Cascade Mask R-CNN': (
        'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
        dict(
            neck=FPN,
            rpn_head=RPN,
            roi_head=dict(
                bbox_roi_extractor=EXTRACTOR, mask_roi_extractor=EXTRACTOR, mask_head=MASK
            ),
            test_cfg=PROPOSALS,
        ),
        (
            'rpn_head.rpn_cls',
            *(f'roi_head.bbox_head.{i}.fc_cls' for i in range(3)),
            *(f'roi_head.mask_head.{i}.conv_logits' for i in range(3)),
        ),
    ),
    'RetinaNet': (
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        dict(neck=FPN, bbox_head=DENSE, test_cfg=dict(nms_pre=5)),
        ('bbox_head.retina_cls',),
    ),
    'ATSS': (
        'atss/atss_r50_fpn_1x_coco.py',
        dict(
            neck=dict(FPN, out_channels=64),
            bbox_head=dict(DENSE, in_channels=64, feat_channels=64),  # for 32 groups
            test_cfg=dict(nms_pre=5),
        ),
        ('bbox_head.atss_cls', 'bbox_head.atss_centerness'),
    ),
    'GFL': (
        'gfl/gfl_r50_fpn_1x_coco.py',
        dict(
            neck=dict(FPN, out_channels=64),
            bbox_head=dict(DENSE, in_channels=64, feat_channels=64),  # for 32 groups
            test_cfg=dict(nms_pre=5),
        ),
        ('bbox_head.gfl_cls', 'bbox_head.gfl_reg'),
    ),
    'FCOS': (
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        dict(
            neck=dict(FPN, out_channels=64),
            bbox_head=dict(DENSE, in_channels=64, feat_channels=64),  # for 32 groups
            test_cfg=dict(nms_pre=5),
        ),
        ('bbox_head.conv_cls', 'bbox_head.conv_centerness'),
    ),
    'YOLOX': (
        'yolox/yolox_tiny_8xb8-300e_coco.py',
        dict(
            backbone=dict(deepen_factor=0.1, widen_factor=0.125),
            neck=dict(in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1),
            bbox_head=dict(num_classes=4, in_channels=16, feat_channels=16, stacked_convs=1),
        ),
        tuple(
            f'bbox_head.multi_level_conv_{kind}.{i}'
            for kind in ('cls', 'obj', 'reg')
            for i in range(3)
        ),
    ),
    'RTMDet': (
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        dict(
            backbone=dict(deepen_factor=0.1, widen_factor=0.125, init_cfg=None),
            neck=dict(in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1),
            bbox_head=dict(num_classes=4, in_channels=16, feat_channels=16, stacked_convs=1),
            test_cfg=dict(nms_pre=5),
        ),
        tuple(f'bbox_head.rtm_{kind}.{i}' for i in range(3) for kind in ('cls', 'reg')),
    ),
    'RTMDet-Ins': (
        'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
        dict(
            backbone=dict(deepen_factor=0.1, widen_factor=0.125, init_cfg=None),
            neck=dict(in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1),
            bbox_head=dict(num_classes=4, in_channels=16, feat_channels=16, stacked_convs=1),
            test_cfg=dict(nms_pre=5),
        ),
        tuple(f'bbox_head.rtm_{kind}.{i}' for i in range(3) for kind in ('cls', 'reg', 'kernel')),
    ),
    'DETR': (
        'detr/detr_r50_8xb2-150e_coco.py',
        _transformer(points=False),
        ('bbox_head.fc_cls',),
    ),
    'Deformable DETR': (
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        _transformer(points=True),
        ('bbox_head.cls_branches.1',),
    ),
    'DINO': (
        'dino/dino-4scale_r50_8xb2-12e_coco.py',
        _transformer(points=True, width=256),  # its code expects this width
        ('bbox_head.cls_branches.2', 'bbox_head.cls_branches.1'),
    ),
}


def tiny_detector(family: str, seed: int = 0, grey: bool = False) -> tuple[nn.Module, Config]:
    """Build a tiny detector of a family, with weights by which its scores differ clearly.

    Args:
        family (str): The key in `FAMILIES`.
        seed (int): Of its weights. Defaults to 0.
        grey (bool): Whether its images have one channel. Defaults to False.

    Returns:
        tuple[nn.Module, Config]: The detector in evaluation mode, and its config.
    """
    config, changes, logits = FAMILIES[family]
    cfg = load_config(f'mmdet::{config}')
    if family == 'Cascade Mask R-CNN':
        for head in cfg.model.roi_head.bbox_head:
            head.update(RCNN)
    model = changes if 'backbone' in changes else dict(changes, backbone=BACKBONE)
    cfg.merge_from_dict(dict(model=deepcopy(model)))  # which takes _delete_ out of what it is given
    if grey:
        cfg.model.backbone.in_channels = 1
        cfg.model.data_preprocessor.update(mean=[110.0], std=[60.0], bgr_to_rgb=False)
        cfg.test_dataloader.dataset.pipeline[0].color_type = 'grayscale'
    torch.manual_seed(seed)
    detector = build_detector(cfg)
    if hasattr(detector, 'level_embed'):
        nn.init.normal_(detector.level_embed)  # which is made without values
    noise = 255 * torch.rand(2, 1 if grey else 3, 128, 128)
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.2)
            module.momentum = 1.0  # so that one batch says what mean and variance are
    detector.backbone.train()
    with torch.no_grad():
        detector.extract_feat(detector.data_preprocessor(dict(inputs=list(noise)), False)['inputs'])
    detector.eval()
    for name in logits:
        spread(detector, detector.get_submodule(name), noise, 0.5 if 'reg' in name else 1.5)
    return detector, cfg


def spread(detector: nn.Module, layer: nn.Module, images: Tensor, deviation: float) -> None:
    """Scale the weights of a layer so that its outputs on some images have this deviation."""
    seen = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    predict(detector, images)
    hook.remove()
    values = torch.cat([output.detach().flatten() for output in seen])
    layer.weight.data *= deviation / max(float(values.std()), 1e-6)
    if layer.bias is not None:
        layer.bias.data.normal_(0, 0.1)
        if deviation < 1:
            layer.bias.data += 1  # distances that may not be negative

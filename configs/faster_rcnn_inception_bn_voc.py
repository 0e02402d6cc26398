# The plain detector: Faster R-CNN on Inception-BN, VOC2007.
_base_ = [
    './_base_/models/faster_rcnn_inception_bn_c4.py',
    './_base_/datasets/voc07.py',
    './_base_/schedules/voc_4e.py',
    './_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
pretrained = None  # Inception-BN's ImageNet weights; from scratch where None
width = 1.0  # of every layer

channels_4b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (192, 128, 128, 128))
channels_5b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (352, 320, 224, 128))
init_cfg = dict(type='Pretrained', checkpoint=pretrained) if pretrained else None
model = dict(
    backbone=dict(
        width=width,
        init_cfg=init_cfg,
        frozen_stages=2 if pretrained else -1,
        norm_eval=bool(pretrained),
    ),
    rpn_head=dict(in_channels=channels_4b),
    roi_head=dict(
        shared_head=dict(width=width, init_cfg=init_cfg, norm_eval=bool(pretrained)),
        bbox_roi_extractor=dict(out_channels=channels_4b),
        bbox_head=dict(in_channels=channels_5b),
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

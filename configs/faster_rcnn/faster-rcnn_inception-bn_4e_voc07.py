# The plain detector: Faster R-CNN on Inception-BN, trained on VOC2007.
_base_ = [
    '../_base_/models/faster-rcnn_inception-bn-c4.py',
    '../_base_/datasets/voc07.py',
    '../_base_/schedules/schedule_4e.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
pretrained = None  # a file of Inception-BN's ImageNet weights; None trains from scratch

init_cfg = dict(type='Pretrained', checkpoint=pretrained) if pretrained else None
model = dict(
    backbone=dict(
        init_cfg=init_cfg,
        frozen_stages=2 if pretrained else -1,
        norm_eval=bool(pretrained),
    ),
    roi_head=dict(shared_head=dict(init_cfg=init_cfg, norm_eval=bool(pretrained))),
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

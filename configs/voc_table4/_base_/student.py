# The student of all rows: the plain detector, VOC2007.
_base_ = '../../faster_rcnn_inception_bn_voc.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
pretrained = None  # where all rows start: Inception-BN's ImageNet weights; from scratch where None

if pretrained:
    start = dict(
        init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=pretrained), norm_eval=True
    )
    model = dict(backbone=dict(start, frozen_stages=2), roi_head=dict(shared_head=dict(start)))
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
